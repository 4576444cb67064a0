"""Becoming another user, in a forked child.  As an ordinary user only what such a user can do is tested."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pillarbox.lib.system.privileges import Identity, PrivilegeError, drop_privileges, resolve_identity
from tests.system.forked import errno_of, in_child

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changing users takes root")


def capabilities() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Cap")}


@needs_root
class TestAsRoot:
    def test_ids_and_groups_are_exactly_the_asked_ones(self) -> None:
        def body() -> list[object]:
            drop_privileges(61234, 61235, (61236,))
            return [os.getresuid(), os.getresgid(), os.getgroups()]

        assert in_child(body) == [[61234] * 3, [61235] * 3, [61236]]

    def test_no_capability_is_left(self) -> None:
        def body() -> dict[str, str]:
            drop_privileges(61234, 61234)
            return capabilities()

        sets = in_child(body)
        assert {name: int(value, 16) for name, value in sets.items()} == dict.fromkeys(sets, 0)

    def test_there_is_no_way_back(self) -> None:
        def body() -> list[int]:
            drop_privileges(61234, 61234)
            return [errno_of(lambda: os.setuid(0)), errno_of(lambda: os.setgroups([0]))]

        assert all(in_child(body))

    def test_root_files_are_closed(self, tmp_path: Path) -> None:
        secret = tmp_path / "s"
        secret.write_text("x")
        secret.chmod(0o600)

        def body() -> int:
            drop_privileges(61234, 61234)
            return errno_of(secret.read_text)

        assert in_child(body)


def test_an_ordinary_user_may_stay_itself() -> None:
    def body() -> list[int]:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(61234, 61234, 61234)
            os.setresuid(61234, 61234, 61234)
        drop_privileges(os.getuid(), os.getgid())
        return [os.getuid()]

    assert in_child(body)


def test_an_ordinary_user_cannot_become_another() -> None:
    def body() -> str:
        if os.geteuid() == 0:
            os.setresuid(61234, 61234, 61234)
        try:
            drop_privileges(61299, 61299)
        except PrivilegeError as error:
            return str(error)
        return ""

    assert "not as root" in in_child(body)


class TestResolving:
    def test_a_number_needs_no_entry(self) -> None:
        assert resolve_identity("61234") == Identity("61234", 61234, 61234)

    def test_a_number_with_group(self) -> None:
        assert resolve_identity("61234:8") == Identity("61234:8", 61234, 8)

    def test_a_name(self) -> None:
        assert resolve_identity("root").uid == 0

    def test_a_name_with_group(self) -> None:
        assert resolve_identity("nobody:root").gid == 0

    @pytest.mark.parametrize(
        "text", ["no-such-user-here", "", "61234:no-such-group", "99999999999", "4294967295", "\0", "-1"]
    )
    def test_nonsense_is_refused_with_a_sentence(self, text: str) -> None:
        with pytest.raises(PrivilegeError, match=r"no such|out of range"):
            resolve_identity(text)
