"""Whose a mailbox is, and what only root's parent does for its owner."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from pillarbox.lib.clients.lookup import LookupUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.hosted.making import make_place
from pillarbox.lib.hosted.owners import MailboxOwner, Owners, owners_differ
from pillarbox.lib.hosted.search import ask, ask_soon
from pillarbox.lib.log import log
from pillarbox.lib.store.failure import DeliveryFailure

ANN = "ann+x@example.com"
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")


class Lookup:
    """Tables by parameter and key; those of `broken` parameters cannot answer."""

    def __init__(self, values: dict[tuple[str, str], str], broken: str = "") -> None:
        self.values, self.broken = values, broken
        self.asked: list[str] = []

    def get(self, parameter: str, key: str) -> str | None:
        self.asked.append(key)
        if parameter == self.broken:
            raise LookupUnavailable("the server is away")
        return self.values.get((parameter, key))


class SoonLookup(Lookup):
    async def get(self, parameter: str, key: str) -> str | None:  # type: ignore[override]
        return super().get(parameter, key)


def config(**options: str) -> Config:
    return Config.for_tests(**{"vmail_owner": "5000:5001", "recipient_delimiter": "+"} | options)


MAPPED = {"virtual_uid_maps": "inline:{x=1}", "virtual_gid_maps": "inline:{x=1}"}


def owner_of(values: dict[tuple[str, str], str], broken: str = "", **options: str) -> MailboxOwner:
    search = Owners(config(**options)).search
    found = ask(search(ANN), Lookup(values, broken))  # type: ignore[arg-type]
    assert asyncio.run(ask_soon(search(ANN), SoonLookup(values, broken))) == found  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("uids", "gids", "differ"),
    [
        ("", "", False),
        ("static:5000", "static:5001", False),
        ("static:5000", "", False),
        ("", "static:5001", False),
        ("static:5002", "static:5001", True),
        ("static:5000", "static:5002", True),
        ("inline:{x=5000}", "", True),
        ("static:5000, inline:{x=1}", "", True),
    ],
)
def test_mailboxes_have_owners_where_the_maps_may_give_others(uids: str, gids: str, differ: bool) -> None:
    assert owners_differ(config(virtual_uid_maps=uids, virtual_gid_maps=gids)) is differ


def test_a_static_uid_below_the_minimum_is_looked_at() -> None:
    assert owners_differ(config(virtual_uid_maps="static:5000", virtual_minimum_uid="6000"))


def test_keys_are_asked_from_the_whole_address_to_the_domain() -> None:
    lookup = Lookup({("virtual_uid_maps", "@example.com"): "20001"})
    assert ask(Owners(config(virtual_uid_maps="inline:{x=1}")).search(ANN), lookup) == (20001, 5001)  # type: ignore[arg-type]
    assert lookup.asked == [ANN, "ann@example.com", "@example.com"]


def test_without_a_map_it_is_vmail_owners() -> None:
    assert owner_of({}) == (5000, 5001)
    assert owner_of({("virtual_gid_maps", ANN): "7"}, virtual_gid_maps="inline:{x=1}") == (5000, 7)


@pytest.mark.parametrize(
    "uid", ["0", "99", "-1", "", "x", "20001x", "4294967295", "99999999999", "\u0662\u0660\u0660", "1 2"]
)
def test_a_uid_that_may_not_be_makes_mail_wait(uid: str) -> None:
    values = {("virtual_uid_maps", ANN): uid, ("virtual_gid_maps", ANN): "20001"}
    with log.capture() as lines, pytest.raises(DeliveryFailure) as failed:
        owner_of(values, **MAPPED)
    assert (failed.value.dsn, failed.value.text) == ("4.3.5", "mail system configuration error")
    assert lines == [f"warning: recipient {ANN}: bad uid {uid} in virtual_uid_maps"]


@pytest.mark.parametrize("gid", ["0", "-1", "x"])
def test_so_does_a_gid(gid: str) -> None:
    values = {("virtual_uid_maps", ANN): "20001", ("virtual_gid_maps", ANN): gid}
    with log.capture() as lines, pytest.raises(DeliveryFailure):
        owner_of(values, **MAPPED)
    assert lines == [f"warning: recipient {ANN}: bad gid {gid} in virtual_gid_maps"]


@pytest.mark.parametrize("owner", ["mail_owner", "net_owner", "lookup_owner", "auth_owner"])
@pytest.mark.parametrize(("uid", "gid", "bad"), [("20002", "20001", "uid 20002"), ("20001", "20003", "gid 20003")])
def test_so_does_an_id_of_the_suites(owner: str, uid: str, gid: str, bad: str) -> None:
    values = {("virtual_uid_maps", ANN): uid, ("virtual_gid_maps", ANN): gid}
    with log.capture() as lines, pytest.raises(DeliveryFailure):
        owner_of(values, **MAPPED, **{owner: "20002:20003"})
    assert lines == [f"warning: recipient {ANN}: bad {bad} in virtual_{bad[:3]}_maps"]


def test_vmail_owner_may_be_one_of_them() -> None:
    values = {("virtual_uid_maps", ANN): "5000", ("virtual_gid_maps", ANN): "5001"}
    assert owner_of(values, **MAPPED, mail_owner="5000:5001") == (5000, 5001)


def test_so_does_an_address_that_the_map_does_not_have() -> None:
    with log.capture() as lines, pytest.raises(DeliveryFailure) as failed:
        owner_of({("virtual_uid_maps", ANN): "20001"}, **MAPPED)
    assert failed.value.dsn == "4.3.5"
    assert lines == [f"warning: recipient {ANN}: not found in virtual_gid_maps"]


def test_root_as_vmail_owner_owns_nothing_beside_a_map() -> None:
    with log.capture(), pytest.raises(DeliveryFailure):
        owner_of({("virtual_gid_maps", ANN): "7"}, vmail_owner="0:0", virtual_gid_maps="inline:{x=1}")


def test_a_table_that_cannot_answer_makes_mail_wait() -> None:
    with pytest.raises(DeliveryFailure) as failed:
        owner_of({}, "virtual_uid_maps", **MAPPED)
    assert (failed.value.dsn, failed.value.permanent) == ("4.3.0", False)


# --- places

OWNER, USUAL = MailboxOwner(20001, 20009), MailboxOwner(5000, 5001)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    place = tmp_path / "mail"
    place.mkdir(mode=0o700)
    os.chown(place, USUAL.uid, USUAL.gid)
    return place


def about(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid, found.st_mode & 0o777


@root
def test_a_place_is_its_owners_and_the_way_to_it_open(base: Path) -> None:
    make_place(str(base), f"{base}/example.com/ann", OWNER, USUAL, is_maildir=True)
    assert about(base / "example.com/ann") == (*OWNER, 0o700)
    assert about(base / "example.com") == (*USUAL, 0o711)
    assert about(base) == (*USUAL, 0o711)


@root
def test_an_mbox_file_is_made_too(base: Path) -> None:
    make_place(str(base), f"{base}/example.com/ann", OWNER, USUAL, is_maildir=False)
    assert about(base / "example.com/ann") == (*OWNER, 0o600)


@root
def test_what_is_there_keeps_its_owner(base: Path) -> None:
    (base / "example.com").mkdir(mode=0o750)
    (base / "example.com/ann").mkdir(mode=0o700)
    make_place(str(base), f"{base}/example.com/ann", OWNER, USUAL, is_maildir=True)
    assert about(base / "example.com/ann")[0] == os.geteuid()
    make_place(str(base), f"{base}/example.com/bob", OWNER, USUAL, is_maildir=True)
    assert about(base / "example.com") == (os.geteuid(), os.getegid(), 0o750), "no directory of vmail_owner's"


@root
@pytest.mark.parametrize("level", ["example.com", "example.com/ann"])
def test_a_link_leads_nowhere(base: Path, tmp_path: Path, level: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    place = base / level
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(elsewhere)
    before = about(elsewhere)
    try:
        make_place(str(base), f"{base}/example.com/ann", OWNER, USUAL, is_maildir=True)
    except DeliveryFailure as failure:
        assert failure.dsn == "4.2.0"
    assert about(elsewhere) == before and list(elsewhere.iterdir()) == []


@root
@pytest.mark.parametrize("call", ["fchown", "fchmod", "fsync"])
@pytest.mark.parametrize("is_maildir", [True, False])
def test_a_parent_that_is_killed_leaves_nothing_that_the_next_one_does_not_finish(
    base: Path, monkeypatch: pytest.MonkeyPatch, call: str, is_maildir: bool
) -> None:
    """As if killed before the n-th of these calls, until one survives them all."""

    class Killed(BaseException):
        pass

    place = base / "example.com/ann"
    real = getattr(os, call)
    for calls in range(20):
        left = calls

        def dying(*arguments: object) -> None:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            real(*arguments)

        monkeypatch.setattr(os, call, dying)
        try:
            make_place(str(base), str(place), OWNER, USUAL, is_maildir=is_maildir)
        except Killed:
            monkeypatch.setattr(os, call, real)
            make_place(str(base), str(place), OWNER, USUAL, is_maildir=is_maildir)
        assert about(place) == (*OWNER, 0o700 if is_maildir else 0o600)
        assert about(place.parent) == (*USUAL, 0o711)
        shutil.rmtree(place.parent)
        base.chmod(0o700)
        if left > 0:
            break
    assert calls > 1


@root
@pytest.mark.parametrize(("uid", "mode"), [(20002, 0o1000), (20002, 0), (OWNER.uid, 0), (0, 0)])
def test_a_directory_that_was_closed_stays_closed(base: Path, uid: int, mode: int) -> None:
    place = base / "example.com/ann"
    place.mkdir(parents=True)
    os.chown(place, uid, uid)
    place.chmod(mode)
    make_place(str(base), str(place), OWNER, USUAL, is_maildir=True)
    assert about(place) == (uid, uid, mode & 0o777)
