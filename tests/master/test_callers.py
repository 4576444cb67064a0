"""Who may connect to a private socket: exactly the callers, in whatever order a program names them."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import permutations

import pytest
import yaml

from pillarbox.lib.config import Config
from pillarbox.lib.process import Program
from pillarbox.lib.process.worker import suite_groups
from pillarbox.lib.system.privileges import PrivilegeError, resolve_identity
from pillarbox.master.programs import OWNERS, load_program, socket_owners
from tests.breach.stage import REPOSITORY

USERS = {owner.name: str(61000 + number) for number, owner in enumerate(OWNERS)}
COMMANDS = {each["command"] for each in yaml.safe_load((REPOSITORY / "etc" / "master.yaml").read_text()).values()}
NAMING = sorted(command for command in COMMANDS if load_program(command).callers)


@pytest.fixture(autouse=True)
def started_by_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)


def connecting(program: Program, config: Config) -> set[str]:
    """The owners whose processes the kernel lets write to the socket (path_resolution(7): owner, group, others)."""
    uid, gid, mode = socket_owners(program, config)
    found = set()
    for owner in OWNERS:
        identity = resolve_identity(config[owner])
        groups = {identity.gid, *suite_groups(config)}
        bits = mode >> 6 if identity.uid == uid else mode >> 3 if gid in groups else mode
        if bits & 2:
            found.add(owner.name)
    return found


@pytest.mark.parametrize("command", NAMING)
def test_exactly_the_callers_in_any_order(command: str) -> None:
    program, config = load_program(command), Config.for_tests(**USERS)
    for order in permutations(program.callers):
        assert connecting(replace(program, callers=order), config) == set(program.callers), order


def test_two_whose_groups_are_their_own() -> None:
    program = replace(load_program("anvil"), callers=("net_owner", "auth_owner"))
    assert connecting(program, Config.for_tests(**USERS)) == {"net_owner", "auth_owner"}


def test_a_group_that_another_user_has_lets_nobody_in() -> None:
    users = {**USERS, "net_owner": "61001:61002"}  # the group of lookup_owner
    program = load_program("milter")
    assert set(program.callers) == {"mail_owner", "net_owner"}
    with pytest.raises(PrivilegeError, match="give them groups of their own"):
        socket_owners(program, Config.for_tests(**users))


def test_three_callers_cannot_be_declared() -> None:
    with pytest.raises(ValueError, match="at most two callers"):
        replace(load_program("anvil"), callers=("net_owner", "auth_owner", "mail_owner"))
