"""`pillarbox init`: a complete instance, or one line that says why there is none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pillarbox.commands.init import set_values
from pillarbox.commands.pillarbox import main
from pillarbox.lib.config import load
from pillarbox.lib.config.parameters.general import BASE_PORT, MYDOMAIN, MYHOSTNAME
from tests.commands.running import Said, run


def init(root: Path, *arguments: str) -> Said:
    return run(main, "init", root, *arguments)


def test_an_instance(tmp_path: Path) -> None:
    root = tmp_path / "inst"
    said = init(
        root, "--hostname", "mx.one.test", "--domain", "one.test", "--base-port", "10000", "--user", "a@one.test:pw"
    )
    assert said == Said(0, f"Made an instance in {root}.  Start it with:  pillarbox -c {root}/etc start\n")
    config = load(str(root / "etc"))
    assert (config[MYHOSTNAME], config[MYDOMAIN], config[BASE_PORT]) == ("mx.one.test", "one.test", 10000)
    assert sorted(os.listdir(root)) == ["etc", "log", "mail", "run", "spool", "state"]
    assert {"main.yaml", "master.yaml", "aliases", "aliases.cdb", "tls"} <= set(os.listdir(root / "etc"))
    assert run(main, "-c", root / "etc", "user", "list").out == "a@one.test\n"


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_rights_are_the_same_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert init(tmp_path / "inst").status == 0
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / "inst" / name).stat().st_mode) for name in NAMES}
    assert modes == NAMES


NAMES = {
    ".": 0o755,
    "etc": 0o755,
    "etc/main.yaml": 0o644,
    "etc/master.yaml": 0o644,
    "etc/aliases": 0o644,
    "etc/aliases.cdb": 0o644,
    "etc/tls": 0o755,
    "etc/tls/cert.pem": 0o644,
    "etc/tls/key.pem": 0o600,
    "spool": 0o755,
    "mail": 0o700,
    "state": 0o711,
    "state/reputation": 0o700,
    "state/verify": 0o700,
    "run": 0o755,
    "log": 0o755,
}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--hostname", "not a host"), '"not a host" is not a host name'),
        (("--domain", "a..b"), '"a..b" is not a domain name'),
        (("--user", "nobody"), '--user "nobody" needs the form ADDRESS:PASSWORD'),
        (("--user", "a@b.test:"), '--user "a@b.test" needs the form ADDRESS:PASSWORD'),
        (("--base-port", "70000"), "--base-port must be from 0 to 60000"),
        (("--base-port", "-1"), "--base-port must be from 0 to 60000"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    said = init(tmp_path / "inst", *arguments)
    assert (said.status, said.err) == (os.EX_USAGE, f"pillarbox init: {why}\n")
    assert not (tmp_path / "inst").exists()


def test_a_second_one_in_the_same_place_is_refused(tmp_path: Path) -> None:
    assert init(tmp_path / "inst").status == 0
    before = (tmp_path / "inst" / "etc" / "main.yaml").read_text()
    said = init(tmp_path / "inst", "--hostname", "other.test")
    assert (said.status, said.err) == (
        os.EX_USAGE,
        f"pillarbox init: there is an instance in {tmp_path}/inst already\n",
    )
    assert (tmp_path / "inst" / "etc" / "main.yaml").read_text() == before


def test_after_a_failure_it_can_be_called_again(tmp_path: Path) -> None:
    root = tmp_path / "inst"
    said = init(root, "--user", "good@one.test:pw", "--user", "b@d@one.test:pw")
    assert said.status != 0 and said.err.count("\n") == 1
    assert init(root, "--user", "other@one.test:pw").status == 0


@pytest.mark.parametrize("root", ["with space", 'with "quotes"', "with\\backslash", "with $name", "wïth é"])
def test_a_directory_of_any_name(tmp_path: Path, root: str) -> None:
    said = init(tmp_path / root)
    assert (said.status, said.err) == (0, "")
    config = load(str(tmp_path / root / "etc"))
    assert os.path.isdir(str(config.expanded("queue_directory")))


@pytest.mark.parametrize("value", ["plain", 'q"uote', "back\\slash", "a: b", "#x", "\\1"])
def test_a_value_is_set_where_its_default_stands(value: str) -> None:
    import yaml

    text = set_values("# text\n#myhostname: x\n#myorigin: $myhostname\n", {"myhostname": value, "new": value})
    assert yaml.safe_load(text) == {"myhostname": value, "new": value}
    assert text.startswith("# text\nmyhostname: ")
