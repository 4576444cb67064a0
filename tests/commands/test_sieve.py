"""`pillarbox sieve-test` and `pillarbox sieve-check`."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from pillarbox.commands.pillarbox import main

MESSAGE = b"From: Bob <bob@x.org>\r\nTo: ann@y.org\r\nSubject: hi\r\n\r\nbody\r\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "message").write_bytes(MESSAGE)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(words)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_right_script_has_nothing_said_of_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "a.sieve").write_text("keep;")
    assert run(capsys, "sieve-check", "a.sieve") == (os.EX_OK, "", "")


def test_an_error_is_told_with_line_and_column(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "a.sieve").write_text("keep;\n  filetno;\n")
    (place / "b.sieve").write_text("keep;\r\n\r\nif")
    status, out, err = run(capsys, "sieve-check", "a.sieve", "b.sieve")
    assert (status, out) == (os.EX_DATAERR, "")
    first, second = err.splitlines()
    assert first.startswith("a.sieve:2:3: expected ") and second.startswith("b.sieve:3:")


def test_a_file_that_is_not_there(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "sieve-check", "x.sieve") == (os.EX_NOINPUT, "", "x.sieve: No such file or directory\n")
    (place / "a.sieve").write_text("keep;")
    assert run(capsys, "sieve-test", "a.sieve", "x")[::2] == (os.EX_NOINPUT, "x: No such file or directory\n")


SCRIPT = r"""require ["fileinto", "imap4flags", "copy", "mailbox", "vacation", "enotify", "reject", "editheader"];
redirect :copy "a@b.org";
vacation :days 2 :handle "h" :subject "Away" "I am
away";
notify :message "new" "mailto:m@b.org";
addheader "X-A" "b";
fileinto :create :flags ["\\Seen", "$x"] "Lists/ü";
"""


def test_actions_come_in_their_order_one_on_each_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "a.sieve").write_text(SCRIPT)
    status, out, err = run(capsys, "sieve-test", "a.sieve", "message")
    assert (status, err) == (os.EX_OK, "")
    assert out.splitlines() == [
        'redirect "a@b.org" :copy',
        'vacation :subject "Away" :seconds 172800 :handle "h" "I am\\r\\naway"',
        'notify "mailto:m@b.org" :message "new" :importance 2',
        'fileinto "Lists/ü" :flags ["\\\\Seen", "$x"] :create :header-edited',
    ]


def test_json_says_the_same(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "a.sieve").write_text(SCRIPT)
    actions = json.loads(run(capsys, "sieve-test", "--json", "a.sieve", "message")[1])
    assert [action["action"] for action in actions] == ["redirect", "vacation", "notify", "fileinto"]
    assert actions[0] == {"action": "redirect", "address": "a@b.org", "copy": True}
    assert actions[1]["seconds"] == 172800
    assert actions[3]["folder"] == "Lists/ü" and actions[3]["flags"] == ["\\Seen", "$x"]
    assert "X-A: b" in actions[3]["header"]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", {"action": "keep", "implicit": True, "flags": []}),
        ("keep;", {"action": "keep", "flags": []}),
        ("discard;", {"action": "discard"}),
        ('require "reject"; reject "no";', {"action": "reject", "text": "no"}),
        ('require "ereject"; ereject "no";', {"action": "ereject", "text": "no"}),
    ],
)
def test_each_other_action(
    place: Path, capsys: pytest.CaptureFixture[str], script: str, expected: dict[str, object]
) -> None:
    (place / "a.sieve").write_text(script)
    assert json.loads(run(capsys, "sieve-test", "--json", "a.sieve", "message")[1]) == [expected]


@pytest.mark.parametrize(
    ("options", "sender", "recipient"),
    [
        ((), "bob@x.org", "ann@y.org"),
        (("-f", "s@z.org", "-a", "<r@z.org>"), "s@z.org", "r@z.org"),
        (("-f", "<>"), "", "ann@y.org"),
        (("-f", ""), "", "ann@y.org"),
    ],
)
def test_the_envelope_is_given_or_read_from_the_header(
    place: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], sender: str, recipient: str
) -> None:
    (place / "a.sieve").write_text(
        f'require "envelope"; if allof (envelope "from" "{sender}", envelope "to" "{recipient}") {{ discard; }}'
    )
    assert run(capsys, "sieve-test", *options, "a.sieve", "message")[1] == "discard\n"


def test_a_mailbox_exists_where_it_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "a.sieve").write_text('require "mailbox"; if mailboxexists ["INBOX", "X"] { discard; }')
    assert run(capsys, "sieve-test", "a.sieve", "message")[1] == "keep\n"
    assert run(capsys, "sieve-test", "--mailbox", "X", "a.sieve", "message")[1] == "discard\n"


def test_a_runtime_error_keeps_and_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "a.sieve").write_text('require "include"; include "b";')
    status, out, err = run(capsys, "sieve-test", "a.sieve", "message")
    assert (status, out) == (os.EX_DATAERR, "keep\n") and err.startswith("a.sieve:1: ")
    (place / "b.sieve").write_text("discard;")
    assert run(capsys, "sieve-test", "a.sieve", "message") == (os.EX_OK, "discard\n", "")


def test_a_message_may_come_on_the_standard_input(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "a.sieve").write_text('if header "subject" "hi" { discard; }')
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"From bob  Thu Nov 26\n" + MESSAGE)))
    assert run(capsys, "sieve-test", "a.sieve", "-")[1] == "discard\n"
