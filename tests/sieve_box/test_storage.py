"""A user's scripts: what was put is what delivery runs, whatever happens in between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.sieve_box.running import Owner, Scripts
from pillarbox.lib.sieve_box.storage import Listed, ScriptStorage, StorageError, is_name

KEEP = b"keep;\r\n"
DISCARD = b"discard;\r\n"


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(str(tmp_path), "ann", "example.com")


def storage(owner: Owner, **values: str) -> ScriptStorage:
    return ScriptStorage(Config.for_tests(**values), owner)


def running(owner: Owner) -> list[str]:
    """The scripts that delivery would run, by their text."""
    found = Scripts(Config.for_tests()).of(owner)
    return [script if isinstance(script, str) else Path(script.name).read_text() for script, _ in found]


def listed(box: ScriptStorage) -> dict[str, bool]:
    return {each.name: each.active for each in box.scripts()}


def code(action: object, *arguments: object) -> str:
    with pytest.raises(StorageError) as caught:
        action(*arguments)  # type: ignore[operator]
    return caught.value.code


def test_what_was_put_and_made_active_is_what_delivery_runs(owner: Owner) -> None:
    box = storage(owner)
    assert box.scripts() == []
    box.put("a", KEEP)
    box.put("b", DISCARD)
    assert running(owner) == [], "a script that is only stored does not run"
    box.activate("a")
    assert running(owner) == ["keep;\n"]
    assert box.scripts() == [Listed("a", True), Listed("b", False)]
    box.activate("b")
    assert running(owner) == ["discard;\n"]
    box.put("b", KEEP)
    assert running(owner) == ["keep;\n"]
    box.activate("")
    assert running(owner) == []
    assert box.get("b") == KEEP


def test_the_link_is_as_pigeonhole_makes_it(owner: Owner) -> None:
    box = storage(owner)
    box.put("a", KEEP)
    box.activate("a")
    assert os.readlink(f"{owner.home}/.dovecot.sieve") == "sieve/a.sieve"
    assert oct(os.stat(f"{owner.home}/sieve").st_mode & 0o777) == "0o700"
    assert oct(os.stat(f"{owner.home}/sieve/a.sieve").st_mode & 0o777) == "0o600"


def test_scripts_of_pigeonhole_are_found_where_they_are(owner: Owner) -> None:
    place = Path(owner.home, "sieve")
    (place / "tmp").mkdir(parents=True)
    (place / "main.sieve").write_bytes(KEEP)
    (place / "main.svbin").write_bytes(b"\0")
    (place / ".hidden.sieve").write_bytes(KEEP)
    Path(owner.home, ".dovecot.sieve").symlink_to("sieve/main.sieve")
    assert storage(owner).scripts() == [Listed("main", True)]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_the_user_has_made_by_hand_is_taken_in_and_stays_active(owner: Owner, kind: str) -> None:
    link = Path(owner.home, ".dovecot.sieve")
    if kind == "file":
        link.write_bytes(DISCARD)
    else:
        Path(owner.home, "mine").write_bytes(DISCARD)
        link.symlink_to("mine")
    box = storage(owner)
    assert box.scripts() == [Listed("dovecot.orig", True)]
    assert running(owner) == ["discard;\n"]
    box.put("new", KEEP)
    box.activate("new")
    assert listed(box) == {"dovecot.orig": False, "new": True}
    link.unlink()
    link.write_bytes(KEEP)
    assert listed(box) == {"dovecot.orig": False, "dovecot.orig-2": True, "new": False}
    link.unlink()
    link.write_bytes(KEEP)
    assert listed(box) == {"dovecot.orig": False, "dovecot.orig-2": True, "new": False}, "not once more"


def test_a_script_that_is_wrong_is_not_stored(owner: Owner) -> None:
    box = storage(owner)
    box.put("a", KEEP)
    with pytest.raises(StorageError, match=r"^a:2:1: .*expected"):
        box.put("a", b"keep;\r\nnonsense;\r\n")
    with pytest.raises(StorageError, match=r"^a:1:3: UTF-8 was expected"):
        box.put("a", b"# \xff\r\n")
    assert box.get("a") == KEEP


def test_a_script_that_became_wrong_is_not_made_active(owner: Owner) -> None:
    box = storage(owner)
    box.put("a", KEEP)
    Path(owner.home, "sieve/a.sieve").write_bytes(b"nonsense;")
    with pytest.raises(StorageError, match="expected"):
        box.activate("a")
    assert listed(box) == {"a": False}


def test_included_scripts_may_come_later(owner: Owner) -> None:
    box = storage(owner)
    (warning,) = box.put("a", b'require "include"; include "b";')
    assert 'no personal script "b" yet' in warning
    box.put("b", KEEP)
    assert box.activate("a") == ()
    with pytest.raises(StorageError, match="includes itself"):
        box.put("c", b'require "include"; include "c";')
    with pytest.raises(StorageError, match="expected"):
        box.put("b", b'require "include"; include "a";')


def test_what_there_is_not(owner: Owner) -> None:
    box = storage(owner)
    for action in (box.get, box.activate, box.delete):
        assert code(action, "x") == "NONEXISTENT"
        assert code(action, "../x") == "NONEXISTENT"
    assert code(box.rename, "x", "y") == "NONEXISTENT"


def test_the_active_script_is_not_deleted(owner: Owner) -> None:
    box = storage(owner)
    box.put("a", KEEP)
    box.activate("a")
    assert code(box.delete, "a") == "ACTIVE"
    box.activate("")
    box.delete("a")
    assert box.scripts() == []


def test_who_is_killed_while_renaming_leaves_scripts_that_can_be_had(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    box = storage(owner)
    box.put("a", KEEP)
    box.activate("a")
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", killed)
        with pytest.raises(Killed):
            box.rename("a", "b")
    assert listed(box) == {"a": False, "b": True}
    assert box.get("a") == box.get("b") == KEEP
    box.delete("a")


def test_a_renamed_script_stays_active(owner: Owner) -> None:
    box = storage(owner)
    box.put("a", KEEP)
    box.put("b", DISCARD)
    box.activate("a")
    assert code(box.rename, "a", "b") == "ALREADYEXISTS"
    assert code(box.rename, "a", "a") == "ALREADYEXISTS"
    box.rename("a", "c")
    assert listed(box) == {"b": False, "c": True}
    assert running(owner) == ["keep;\n"]


NAMES = ["naïve", "a/b", ".a", "..", "x" * 128, "水" * 128, "\U0001f600" * 128, "a\u00a0b", ".name-1", "a.sieve"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_the_protocol_will_do(owner: Owner, name: str) -> None:
    box = storage(owner)
    box.put(name, KEEP)
    box.activate(name)
    assert listed(box) == {name: True}
    assert box.get(name) == KEEP
    assert running(owner) == ["keep;\n"]
    assert not [path for path in Path(owner.home).iterdir() if path.name not in ("sieve", ".dovecot.sieve")]
    box.rename(name, f"z{name[1:]}")
    assert listed(box) == {f"z{name[1:]}": True}
    box.activate("")
    box.delete(f"z{name[1:]}")
    assert os.listdir(f"{owner.home}/sieve") == []


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", "a\0b", "a\x7fb", "a\x85b", "a\u2028b", "a\udc80b"])
def test_names_that_no_script_may_have(owner: Owner, name: str) -> None:
    box = storage(owner)
    assert not is_name(name)
    assert code(box.put, name, KEEP) == ""
    assert code(box.have_space, name, 1) == ""


def test_limits(owner: Owner) -> None:
    limits = {"sieve_max_script_size": "50", "sieve_quota_max_scripts": "2", "sieve_quota_max_storage": "70"}
    box = storage(owner, **limits)
    assert code(box.put, "a", b"#" * 51) == "QUOTA/MAXSIZE"
    assert code(box.have_space, "a", 51) == "QUOTA/MAXSIZE"
    box.put("a", b"#" * 50)
    assert code(box.have_space, "b", 21) == "QUOTA"
    assert code(box.put, "b", b"#" * 21) == "QUOTA"
    box.have_space("a", 50)
    box.put("a", b"#" * 45)
    box.put("b", KEEP)
    assert code(box.have_space, "c", 1) == "QUOTA/MAXSCRIPTS"
    assert code(box.put, "c", KEEP) == "QUOTA/MAXSCRIPTS"
    assert listed(box) == {"a": False, "b": False}


def test_a_directory_that_cannot_be_reached(owner: Owner) -> None:
    Path(owner.home, "sieve").write_bytes(b"")
    assert code(storage(owner).scripts) == "TRYLATER"


def test_without_a_place_for_scripts_there_are_none(owner: Owner) -> None:
    for parameter in ("sieve", "sieve_dir"):
        with pytest.raises(StorageError, match="no scripts of users"):
            storage(owner, **{parameter: ""})


@pytest.mark.parametrize("step", range(1, 9))
def test_after_a_crash_at_any_step_a_script_runs(owner: Owner, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Each change of the disk may be the last one; then the old or the new script runs, and all is in good order."""
    box = storage(owner)
    box.put("a", KEEP)
    box.put("b", KEEP)
    box.activate("a")
    count = 0

    class Crash(Exception):
        pass

    def breaking(name: str) -> None:
        original = getattr(os, name)

        def step_or_crash(*arguments: object, **keywords: object) -> object:
            nonlocal count
            count += 1
            if count >= step:
                raise Crash
            return original(*arguments, **keywords)

        monkeypatch.setattr(os, name, step_or_crash)

    for name in ("rename", "link", "symlink", "unlink", "fsync"):
        breaking(name)
    crashed = 0
    for action in (lambda: box.put("a", DISCARD), lambda: box.activate("b"), lambda: box.rename("b", "c")):
        count = 0
        try:
            action()
        except Crash:
            crashed += 1
    monkeypatch.undo()
    assert len(running(owner)) == 1
    assert sum(listed(box).values()) == 1
    if step == 1:
        assert crashed == 3
