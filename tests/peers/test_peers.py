"""Every peer that the catalogue names is there and its binary runs, libraries and modules included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import PeerUnavailable, peer
from tests.peers.catalogue import PEERS, USUAL
from tests.peers.install import CACHE

_REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", sorted(USUAL))
def test_the_unpacked_binary_runs(name: str) -> None:
    proof = PEERS[name].proof
    done = peer(name).run(proof)
    assert PEERS[name].says in done.stdout + done.stderr, f"{' '.join(proof)}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("name", sorted(USUAL))
def test_no_unpacked_file_is_set_uid_or_set_gid(name: str) -> None:
    privileged = [path for path in peer(name).root.rglob("*") if path.is_file() and path.lstat().st_mode & 0o6000]
    assert privileged == []


def test_an_unknown_peer_fails_with_the_names_of_the_known_ones() -> None:
    with pytest.raises(PeerUnavailable, match="postfix"):
        peer("sendmail-8")


def test_an_unpacked_peer_is_not_unpacked_again() -> None:
    peer("msmtp")
    before = (CACHE / "msmtp" / "stamp").stat().st_mtime_ns
    peer("msmtp")
    assert (CACHE / "msmtp" / "stamp").stat().st_mtime_ns == before


def test_a_program_that_does_not_exist_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no program mutt-ng"):
        peer("mutt").program("mutt-ng")


def test_a_failing_command_can_be_made_an_assertion_that_shows_its_words() -> None:
    with pytest.raises(AssertionError, match="no-such-option"):
        peer("curl").run(["curl", "--no-such-option"], check=True)


def test_the_command_line_explains_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.peers", "what"], cwd=_REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, "usage:" in done.stderr) == (64, True)
