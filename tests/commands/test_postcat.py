"""postcat: queue files for eyes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.commands import postcat
from pillarbox.commands.sendmail import Options, Submission, envelope_lines
from pillarbox.lib.queue import Recipient
from tests.commands.queued import put_message

CONTENT = b"Subject: x\nFrom: a@x\n\nbody\nmore"


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def shown(capfdbinary: pytest.CaptureFixture[bytes], *arguments: str) -> list[str]:
    assert postcat.main(list(arguments)) == 0
    return capfdbinary.readouterr().out.decode().splitlines()


def message(instance: Path) -> Path:
    recipients = (Recipient("b@y.test", "o@x.test", "rfc822;o@x.test", ("failure",)), Recipient("c@y.test"))
    queue_id = put_message(instance / "spool", "deferred", CONTENT, recipients=recipients)
    return instance / "spool" / "deferred" / queue_id


def test_everything(instance: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = message(instance)
    lines = shown(capfdbinary, str(path))
    assert lines[0] == f"*** ENVELOPE RECORDS {path} ***"
    assert lines[1].startswith("message_size: ") and lines[1].split()[1] == str(len(CONTENT))
    assert lines[2:] == [
        "message_arrival_time: Sun Nov 22 03:54:03 2026",
        "named_attribute: origin=pickup",
        "sender: a@x.test",
        "named_attribute: dsn_orig_rcpt=rfc822;o@x.test",
        "named_attribute: notify_flags=failure",
        "original_recipient: o@x.test",
        "recipient: b@y.test",
        "recipient: c@y.test",
        f"*** MESSAGE CONTENTS {path} ***",
        *("Subject: x", "From: a@x", "", "body", "more"),
        f"*** HEADER EXTRACTED {path} ***",
        f"*** MESSAGE FILE END {path} ***",
    ]


def test_header_and_body_apart_have_no_marks(instance: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = str(message(instance))
    assert shown(capfdbinary, "-h", path) == ["Subject: x", "From: a@x", ""]
    assert shown(capfdbinary, "-b", path) == ["body", "more"]
    assert shown(capfdbinary, "-bh", path) == ["Subject: x", "From: a@x", "", "body", "more"]


def test_by_queue_id(instance: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = message(instance)
    assert shown(capfdbinary, "-c", f"{instance}/etc", "-bq", path.name) == ["body", "more"]


def test_prefixes(instance: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = message(instance)
    size = path.stat().st_size
    assert shown(capfdbinary, "-bodf", str(path)) == [
        f"{path}: {size - 9:9}  78 body",
        f"{path}: {size - 4:9}  78 more",
    ]
    assert shown(capfdbinary, "-b", "-s", str(size - 4), str(path)) == ["more"]


def test_a_local_submission(instance: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    options = Options()
    options.full_name = "Jane"
    dropping = Submission(f"{instance}/spool", 0, envelope_lines(options, "jane", ["b@y"]))
    dropping.write(b"Subject: x\n\nbody\n")
    dropping.commit()
    dropping.close()
    (name,) = os.listdir(instance / "spool" / "maildrop")
    lines = shown(capfdbinary, f"{instance}/spool/maildrop/{name}")
    assert {"sender_fullname: Jane", "sender: jane", "recipient: b@y", "body"} <= set(lines)


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        ([], 64, "a file name, or -q and a queue id, was expected"),
        (["-z"], 64, "invalid option -- 'z'"),
        (["-s", "x", "f"], 64, "option -s needs a number"),
        (["/nonexistent/X"], 1, "open queue file /nonexistent/X: No such file or directory"),
        (["/etc/passwd"], 1, "/etc/passwd: the first line is not that of a queue file"),
        (["-q", "a/b"], 1, "bad mail queue id: a/b"),
        (["-q", "4jXFYl6dnjzKD6m"], 1, "open queue file 4jXFYl6dnjzKD6m: No such file or directory"),
    ],
)
def test_refusals(
    instance: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    arguments: list[str],
    status: int,
    text: str,
) -> None:
    monkeypatch.setenv("MAIL_CONFIG", f"{instance}/etc")
    assert postcat.main(arguments) == status
    assert text in capfdbinary.readouterr().err.decode()
