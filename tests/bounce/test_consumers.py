"""Reports as list managers read them: flufl.bounce (Mailman's, from Debian) finds who has failed, and for how long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pillarbox.lib.delivery import BOUNCED, DEFERRED, SENT, Result
from pillarbox.lib.log import log
from pillarbox.lib.message.dsn import Template
from pillarbox.lib.queue import Recipient
from tests.bounce.bounced import ID, Bench, bounce_service
from tests.peers import peer

FAILED = Result(151, BOUNCED, "5.1.1", "host mx said: 550 no", "mx.y.test[192.0.2.1]:25", "mx.y.test", "smtp; 550 no")
WAITS = Result(151, DEFERRED, "4.4.1", "connect to y.test[192.0.2.1]:25: Connection refused")
DONE = Result(151, SENT, "2.0.0", "delivered to maildir", "virtual")

_READER = """
import email, json, sys
from flufl.bounce import all_failures
temporary, permanent = all_failures(email.message_from_binary_file(sys.stdin.buffer))
print(json.dumps([sorted(each.decode() for each in found) for found in (temporary, permanent)]))
"""


def read(data: bytes) -> tuple[list[str], list[str]]:
    """(those that may still get it, those that will not), as flufl.bounce understands a report."""
    done = peer("flufl-bounce").run(["/usr/bin/python3", "-c", _READER], input=data, check=True)
    temporary, permanent = json.loads(done.stdout)
    return temporary, permanent


def report(
    directory: Path, work: Callable[[Bench], Awaitable[None]], words: dict[str, Template] | None = None
) -> bytes:
    """The first report that `work` leads to."""

    async def run() -> bytes:
        async with bounce_service(directory, words) as bench:
            await work(bench)
            return bench.cleanup.taken[0].data

    with log.capture():
        return asyncio.run(run())


OLD = "rfc822;Old@z.test"


@pytest.mark.parametrize(("original", "orcpt"), [("", ""), ("alias@x.test", ""), ("", OLD), ("a@x.test", OLD)])
def test_failures_are_found(tmp_path: Path, original: str, orcpt: str) -> None:
    async def work(bench: Bench) -> None:
        await bench.client.append("bounce", ID, Recipient("bob@y.test", original, orcpt), FAILED)
        await bench.client.append("bounce", ID, Recipient("eve@y.test"), replace(FAILED, n=152))
        await bench.flush()

    temporary, permanent = read(report(tmp_path, work))
    assert temporary == []
    expected = {orcpt.partition(";")[2] or original or "bob@y.test", "bob@y.test"}
    assert "eve@y.test" in permanent
    assert set(permanent) - {"eve@y.test"} <= expected and len(permanent) >= 2


def test_a_warning_is_no_failure(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.client.append("defer", ID, Recipient("bob@y.test"), WAITS)
        await bench.warn()

    assert read(report(tmp_path, work)) == (["bob@y.test"], [])


def test_a_success_is_neither(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.client.append("bounce", ID, Recipient("bob@y.test", notify=("success",)), DONE)
        await bench.flush()

    assert read(report(tmp_path, work)) == ([], [])


def test_the_words_of_an_administrator_do_not_matter(tmp_path: Path) -> None:
    words = {"failure": Template("Unzustellbar", "Grüße\n", charset="utf-8")}

    async def work(bench: Bench) -> None:
        await bench.client.append("bounce", ID, Recipient("bob@y.test"), FAILED)
        await bench.flush()

    data = report(tmp_path, work, words)
    assert b"Subject: Unzustellbar\n" in data
    assert read(data) == ([], ["bob@y.test"])
