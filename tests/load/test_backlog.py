"""A long queue costs little: memory for each waiting message is counted, `mailq` begins before it has read the rest.

`python -m bench.backlog` measures the times with 200,000.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.wire import BOB, PASSWORD
from tests.lab.instance import Instance
from tests.load.backlog import fill
from tests.load.sessions import at_rest

COUNT = 50_000
QMGR_CEILING = 1000
"""Bytes of qmgr's memory for each deferred message: 200,000 stay below 200 MB."""

SHOWQ_CEILING = 8_000_000
"""Bytes that showq may grow while it lists them all: the names of a slice, and the allocator's reserves."""


@pytest.fixture(scope="module")
def mail() -> Iterator[Instance]:
    with Instance(users={BOB: PASSWORD}, plain=True) as instance:
        yield instance


@pytest.mark.timeout(240)
def test_a_long_queue_needs_little_memory_and_new_mail_is_delivered(mail: Instance) -> None:
    before = at_rest(mail, "qmgr")
    mail.stop()
    fill(mail.root / "spool", COUNT)
    mail.start()
    mail.run(["sendmail", BOB], input="Subject: new\n\nnew\n", check=True)
    mail.wait_for(lambda: mail.mailbox(BOB), 60)
    assert (at_rest(mail, "qmgr") - before) / COUNT < QMGR_CEILING
    idle = at_rest(mail, "showq")
    listing = subprocess.Popen(mail.command(["mailq"]), env=mail.environment(), stdout=subprocess.PIPE, text=True)
    assert listing.stdout is not None
    lines = [next(listing.stdout) for _ in range(2)]
    assert lines[0].startswith("----Queue ID")
    assert at_rest(mail, "showq") - idle < SHOWQ_CEILING
    text = lines[1] + listing.stdout.read()
    assert listing.wait() == 0
    assert text.count(".dead.test\n") == COUNT
    assert at_rest(mail, "showq") - idle < SHOWQ_CEILING
