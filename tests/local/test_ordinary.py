"""Which recipients need no expander."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pillarbox.lib.clients.lookup import LookupUnavailable
from pillarbox.lib.config import Config
from pillarbox.local import ordinary
from pillarbox.local.ordinary import Ordinary
from pillarbox.local.steps import Message
from pillarbox.local.users import User

ANN = User("ann", 1001, 1001, "/home/ann", "/bin/sh")


class Lookup:
    def __init__(self, aliases: dict[str, str], broken: bool = False) -> None:
        self.aliases, self.broken = aliases, broken
        self.asked: list[tuple[str, str]] = []

    async def get(self, parameter: str, key: str) -> str | None:
        self.asked.append((parameter, key))
        if self.broken:
            raise LookupUnavailable("away")
        return self.aliases.get(key)


def found(
    monkeypatch: pytest.MonkeyPatch, lookup: Lookup, user: str = "ann", extension: str = "", **settings: str
) -> User | None:
    monkeypatch.setattr(ordinary, "find_user", {"ann": ANN}.get)
    message: Any = Message("id", "s@x", "r@x", "", 0.0, 1, 0, 0, user, extension, "x", "+" if extension else "")
    return asyncio.run(Ordinary(Config.for_tests(**settings), lookup).user(message))  # type: ignore[arg-type]


def test_a_user_of_whom_there_is_no_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    lookup = Lookup({"bob": "x@y"})
    assert found(monkeypatch, lookup) is ANN
    assert lookup.asked == [("alias_maps", "ann")]


@pytest.mark.parametrize("alias", ["ann", "ann+lists"])
def test_an_alias_of_either_name_is_the_expanders_business(monkeypatch: pytest.MonkeyPatch, alias: str) -> None:
    assert found(monkeypatch, Lookup({alias: "x@y"}), extension="Lists") is None


def test_so_is_a_name_that_is_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    lookup = Lookup({})
    assert found(monkeypatch, lookup, "eve") is None
    assert lookup.asked == []


def test_so_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, Lookup({}, broken=True)) is None


@pytest.mark.parametrize("setting", [{"mailbox_transport": "lmtp:x"}, {"mailbox_transport_maps": "inline:{a=b}"}])
def test_so_is_everybody_where_another_agent_may_have_the_mailbox(
    monkeypatch: pytest.MonkeyPatch, setting: dict[str, str]
) -> None:
    assert found(monkeypatch, Lookup({}), **setting) is None


def test_without_alias_tables_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    lookup = Lookup({})
    assert found(monkeypatch, lookup, alias_maps="") is ANN
    assert lookup.asked == []
