"""postmap: what it prints, its warnings and exit status, as Postfix's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pillarbox.commands.postmap import main
from tests.commands.running import Said, run

SOURCE = "a b\nK1 v1\nk1 v2\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tab").write_text(SOURCE)
    return tmp_path


def test_a_table_is_built_and_asked() -> None:
    assert run(main, "hash:tab") == Said(0, "", 'postmap: warning: tab.cdb: duplicate entry: "k1"\n')
    assert run(main, "-q", "K1", "hash:tab") == Said(0, "v1\n")
    assert run(main, "-q", "nokey", "hash:tab") == Said(1)
    assert run(main, "-q", "", "hash:tab") == Said(1)
    assert run(main, "-s", "hash:tab") == Said(0, "a\tb\nk1\tv1\n")


def test_keys_come_from_standard_input() -> None:
    run(main, "hash:tab")
    assert run(main, "-q", "-", "hash:tab", text="zz\n\na\nk1\n") == Said(0, "a\tb\nk1\tv1\n")
    assert run(main, "-q", "-", "hash:tab", text="zz\n") == Said(1)


def test_several_tables_are_asked_in_order() -> None:
    run(main, "hash:tab")
    assert run(main, "-q", "x", "hash:tab", "static:last") == Said(0, "last\n")
    assert run(main, "-q", "-", "hash:tab", "static:last", text="a\nx\n") == Said(0, "a\tb\nx\tlast\n")


def test_warnings_name_file_and_line_and_keep_status_0(here: Path) -> None:
    (here / "tab").write_text("noval\nal: x\n")
    assert run(main, "hash:tab") == Said(
        0,
        "",
        "postmap: warning: tab, line 1: expected format: key whitespace value\n"
        'postmap: warning: tab, line 2: record is in "key: value" format; is this an alias file?\n',
    )


def test_replacing_and_ignoring_duplicates() -> None:
    assert run(main, "-r", "hash:tab") == Said(0)
    assert run(main, "-q", "k1", "hash:tab").out == "v2\n"
    assert run(main, "-w", "hash:tab") == Said(0)
    assert run(main, "-q", "k1", "hash:tab").out == "v1\n"


def test_folding_can_be_off() -> None:
    assert run(main, "-f", "hash:tab") == Said(0)
    assert run(main, "-s", "hash:tab").out == "a\tb\nK1\tv1\nk1\tv2\n"
    assert run(main, "-f", "-q", "K1", "hash:tab").out == "v1\n"


def test_entries_are_added_and_taken_out() -> None:
    run(main, "-w", "hash:tab")
    assert run(main, "-i", "hash:tab", text="n1 v\na c\n") == Said(
        0, "", 'postmap: warning: tab.cdb: duplicate entry: "a"\n'
    )
    assert run(main, "-ri", "hash:tab", text="a c\n") == Said(0)
    assert run(main, "-s", "hash:tab").out == "a\tc\nk1\tv1\nn1\tv\n"
    assert run(main, "-d", "N1", "hash:tab") == Said(0)
    assert run(main, "-d", "n1", "hash:tab") == Said(1)
    assert run(main, "-d", "-", "hash:tab", text="a\nk1\n") == Said(0)
    assert run(main, "-s", "hash:tab") == Said(0)


def test_adding_makes_a_table_that_was_not_there(here: Path) -> None:
    assert run(main, "-i", "hash:new", text="a b\n") == Said(0)
    assert run(main, "-q", "a", "hash:new").out == "b\n"


def test_the_mode_is_that_of_the_source(here: Path) -> None:
    (here / "tab").chmod(0o600)
    run(main, "hash:tab")
    assert stat.S_IMODE((here / "tab.cdb").stat().st_mode) == 0o600
    run(main, "-p", "hash:tab")
    assert stat.S_IMODE((here / "tab.cdb").stat().st_mode) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_writes_as_the_owner_of_the_source(here: Path) -> None:
    here.chmod(0o777)
    os.chown(here / "tab", 54340, 54341)
    os.chown(here, 54340, 54341)
    for folder in (here.parent, here.parent.parent):
        folder.chmod(0o755)
    run(main, "hash:tab")
    status = (here / "tab.cdb").stat()
    assert (status.st_uid, status.st_gid) == (54340, 54341)
    assert os.geteuid() == 0
    run(main, "-o", "hash:tab")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["hash:nonex"], "open nonex: No such file or directory"),
        (["-q", "x", "hash:nonex"], "open database nonex.cdb: No such file or directory"),
        (["-d", "x", "hash:nonex"], "open database nonex.cdb: No such file or directory"),
        (["-q", "x", "regexp:nonex"], "open nonex: No such file or directory"),
        (["-q", "x", "foo:bar"], "unsupported dictionary type: foo"),
        (["foo:bar"], "unsupported dictionary type: foo"),
        (["texthash:tab"], "unsupported dictionary type: texthash does not support bulk-mode creation."),
        (["-s", "static:x"], "table static:x: sequence operation is not supported"),
        (["-q", "x", "fail:xx"], "table fail:xx: query error: Application error"),
        (["-q", "a", "-d", "b", "hash:tab"], "specify only one of -s -q or -d"),
        (["-h", "-q", "x", "static:b"], 'specify -b -h or -m only with "-q -"'),
        (["-q", "x", "static:"], 'open dictionary: expecting "type:name" form instead of "static:"'),
        (["-q", "x", "inline:{x=y"], 'bad syntax: "inline:{x=y"; need "inline:{name=value...}"'),
        (["-q", "x", "unix:foo"], "unknown table: unix:foo"),
    ],
)
def test_fatal_errors(arguments: list[str], text: str) -> None:
    assert run(main, *arguments) == Said(1, "", f"postmap: fatal: {text}\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-z"], "postmap: invalid option -- 'z'\n"),
        (["-q"], "postmap: option requires an argument -- 'q'\n"),
        ([], ""),
    ],
)
def test_wrong_usage(arguments: list[str], complaint: str) -> None:
    said = run(main, *arguments)
    assert said.status == 1
    assert said.err.startswith(complaint + "postmap: fatal: usage: postmap [-b")
    assert said.err.count("\n") == 1 + bool(complaint)


def test_a_corrupt_table_is_fatal_and_not_a_missing_key(here: Path) -> None:
    (here / "bad.cdb").write_bytes(b"x" * 3000)
    for arguments in (["-q", "x", "hash:bad"], ["-d", "x", "hash:bad"], ["-s", "hash:bad"], ["-i", "hash:bad"]):
        said = run(main, *arguments)
        assert said.status == 1
        assert "fatal" in said.err and "corrupt" in said.err


def test_header_and_body_of_a_message_as_keys() -> None:
    message = "Subject: foo\n bar\nTo: x\n\nbody: 1\n"
    assert run(main, "-h", "-q", "-", "regexp:{{/./ S}}", text=message).out == "Subject: foo\n bar\tS\nTo: x\tS\n"
    assert run(main, "-b", "-q", "-", "regexp:{{/./ S}}", text=message).out == "body: 1\tS\n"


def test_a_value_may_come_from_a_file(here: Path) -> None:
    (here / "key.pem").write_text("KEY\n")
    (here / "sni").write_text("a.example key.pem\nb.example missing\n")
    assert run(main, "-F", "hash:sni") == Said(
        0, "", "postmap: warning: sni, line 2: open missing: No such file or directory: skipping this entry\n"
    )
    assert run(main, "-Fq", "a.example", "hash:sni").out == "KEY\n\n"
    assert run(main, "-q", "a.example", "hash:sni").out == "S0VZCg==\n"


def test_json_output() -> None:
    run(main, "-w", "hash:tab")
    assert run(main, "-sj", "hash:tab").out == '{"a": "b"}\n{"k1": "v1"}\n'


def test_an_empty_value_is_shown_with_a_warning() -> None:
    assert run(main, "-q", "x", "inline:{{x=}}") == Said(
        0,
        "\n",
        "postmap: warning: table inline:{{x=}}: key x: empty string result is not allowed\n"
        "postmap: warning: table inline:{{x=}} should return NO RESULT in case of NOT FOUND\n",
    )


def test_keys_and_values_that_are_no_text_survive(here: Path) -> None:
    (here / "tab").write_bytes(b"k\xff v\xfe\n")
    run(main, "hash:tab")
    assert run(main, "-s", "hash:tab").out.encode("utf-8", "surrogateescape") == b"k\xff\tv\xfe\n"


def test_the_default_type_comes_from_the_configuration(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run(main, "-c", here / "nowhere", "tab")
    assert said.status == 1
    assert "nowhere/main.yaml" in said.err
