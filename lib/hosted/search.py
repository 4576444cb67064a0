"""The questions to lookup that one decision about a hosted mailbox takes, apart from how they are asked.

A search is a generator: it yields questions, gets the answer to each, or the `LookupFailed` thrown in, and returns what
it has found.  `ask` and `ask_soon` drive it over the blocking client and over that of an event loop.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, TypeAlias, TypeVar

from pillarbox.lib.clients.lookup import AsyncLookupClient, LookupClient
from pillarbox.lib.tables.errors import LookupFailed

T = TypeVar("T")


class Question(NamedTuple):
    """What the tables of `parameter` have for `key` (text or None); "": the verdict about the recipient `key`."""

    parameter: str
    key: str


Search: TypeAlias = Generator[Question, Any, T]


def ask(search: Search[T], lookup: LookupClient) -> T:
    """The result of a search.  Raises what it raises."""
    try:
        question = next(search)
        while True:
            try:
                parameter, key = question
                answer = lookup.get(parameter, key) if parameter else lookup.recipient(key)
            except LookupFailed as error:
                question = search.throw(error)
            else:
                question = search.send(answer)
    except StopIteration as end:
        found: T = end.value
        return found


async def ask_soon(search: Search[T], lookup: AsyncLookupClient) -> T:
    """The same on an event loop."""
    try:
        question = next(search)
        while True:
            try:
                parameter, key = question
                answer = await lookup.get(parameter, key) if parameter else await lookup.recipient(key)
            except LookupFailed as error:
                question = search.throw(error)
            else:
                question = search.send(answer)
    except StopIteration as end:
        found: T = end.value
        return found
