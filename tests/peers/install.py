"""Making peers available: unpack once into `.cache/peers/NAME/root`, then answer from there at once.

Debian's mail servers conflict with each other as packages, so they are unpacked side by side and never
installed. A finished tree has a stamp that names what it was made from; without a fitting stamp it is made anew.
Parallel test workers wait for each other on a lock per peer.
"""

from __future__ import annotations

import os
import platform
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.peers.apt import AptError, Archive, locked
from tests.peers.catalogue import PEERS, Entry
from tests.peers.peer import Peer

_REPOSITORY = Path(__file__).resolve().parents[2]

# Elsewhere when the tree is read-only, or shared between checkouts.
CACHE = Path(os.environ.get("PILLARBOX_PEERS", _REPOSITORY / ".cache" / "peers")).absolute()

_ARCHIVE = Archive(CACHE / "apt")

# Debian leaves 61184-65519 to no one (policy manual, section 9.2.2).
_FIRST_ACCOUNT = 61190

# Archives come over one line: more at a time gains nothing.
_PARALLEL = 4


class PeerUnavailable(Exception):
    """A peer could not be unpacked; a test that needs it must fail with this text."""


def peer(name: str) -> Peer:
    """The peer `name`, unpacked now if need be. Raises PeerUnavailable."""
    entry = PEERS.get(name)
    if entry is None:
        raise PeerUnavailable(f"no peer is called {name!r}; there are: {', '.join(sorted(PEERS))}")
    place = CACHE / name
    stamp = place / "stamp"
    made_from = _made_from(entry)
    if not _stamped(stamp, made_from):
        with locked(CACHE / f"{name}.lock"):
            if not _stamped(stamp, made_from):
                _unpack(entry, place, made_from)
    return Peer(name, place / "root")


def install(names: list[str]) -> dict[str, str]:
    """Unpack all of `names`, several at a time; for each that could not be, its name and the reason."""

    def one(name: str) -> str:
        try:
            peer(name)
        except PeerUnavailable as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(_PARALLEL) as pool:
        reasons = dict(zip(names, pool.map(one, names), strict=True))
    return {name: reason for name, reason in reasons.items() if reason}


def _unpack(entry: Entry, place: Path, made_from: str) -> None:
    partial = place.with_name(place.name + ".partial")
    for old in (partial, place):
        shutil.rmtree(old, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        _ARCHIVE.fetch(entry.packages, partial, entry.without)
        _write_accounts(entry, partial)
        (partial / "stamp").write_text(made_from)
        partial.rename(place)
    except (AptError, OSError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise PeerUnavailable(
            f"the peer {entry.name} ({' '.join(entry.packages)}) cannot be unpacked: {error}"
        ) from error


def _write_accounts(entry: Entry, place: Path) -> None:
    """The system's account files with the package's own users added, to be shown to its programs only."""
    if not entry.accounts:
        return
    passwd, group = Path("/etc/passwd").read_text(), Path("/etc/group").read_text()
    for number, name in enumerate(entry.accounts, _FIRST_ACCOUNT):
        passwd += f"{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n"
        group += f"{name}:x:{number}:\n"
    (place / "passwd").write_text(passwd)
    (place / "group").write_text(group)


def _stamped(stamp: Path, made_from: str) -> bool:
    try:
        return stamp.read_text() == made_from
    except OSError:
        return False


def _made_from(entry: Entry) -> str:
    try:
        system = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        system = ""
    return " ".join([system, platform.machine(), *entry.packages, *entry.accounts, *entry.without]) + "\n"
