"""postlog: lines from scripts into the mail log."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.commands.postlog import main
from tests.commands.running import Said, run


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "main.yaml").write_text(f"myhostname: mx.example.com\nmaillog_file: {tmp_path}/mail.log\n")
    (tmp_path / "master.yaml").write_text("lookup: {command: lookup}\n")
    return tmp_path


def logged(etc: Path) -> list[str]:
    lines = (etc / "mail.log").read_text().splitlines()
    return [line.split(" mx ", 1)[1].replace(line.split("[")[1].split("]")[0], "N", 1) for line in lines]


def test_the_words_are_one_line(etc: Path) -> None:
    assert run(main, "-c", etc, "hello", "world") == Said(0)
    assert logged(etc) == ["pillarbox/postlog[N]: hello world"]


def test_each_input_line_is_a_line(etc: Path) -> None:
    assert run(main, "-c", etc, "-t", "script", "-p", "warn", text="one\ntwo\x1b\n") == Said(0)
    assert logged(etc) == ["script[N]: warning: one", "script[N]: warning: two?"]


@pytest.mark.parametrize("severity", ["error", "fatal", "panic"])
def test_severities_exit_with_0(etc: Path, severity: str) -> None:
    assert run(main, "-c", etc, "-ip", severity, "x") == Said(0)
    assert logged(etc) == [f"pillarbox/postlog[N]: {severity}: x"]


@pytest.mark.parametrize(
    ("arguments", "err"),
    [
        (["-p", "foo", "x"], 'postlog: fatal: bad severity: "foo"\n'),
        (
            ["-z"],
            (
                "postlog: invalid option -- 'z'\n"
                "postlog: fatal: usage: postlog [-c config_dir] [-i] [-p priority] [-t tag] [-v] [text]\n"
            ),
        ),
    ],
)
def test_wrong_usage(etc: Path, arguments: list[str], err: str) -> None:
    assert run(main, "-c", etc, *arguments) == Said(1, "", err)


def test_a_log_that_cannot_be_opened(etc: Path) -> None:
    (etc / "main.yaml").write_text("maillog_file: /nonexistent/mail.log\n")
    assert run(main, "-c", etc, "x") == Said(
        1, "", "postlog: fatal: open /nonexistent/mail.log: No such file or directory\n"
    )
