"""Hosts that never answer hold up nobody, however many: no connection here ever times out, and the others' mail goes.

`python -m bench.destinations` measures how long it takes with 10,000.
"""

from __future__ import annotations

import random
import re

import pytest

from tests.lab.crowd import Crowd, Rule
from tests.lab.dns import DnsServer
from tests.lab.instance import Instance
from tests.lab.namespace import Namespace
from tests.load.backlog import put_in

EACH = 100
"""Destinations of each kind: the dead are six times as many as all processes have `sessions`."""

SESSIONS = 25
"""Of each of the two processes."""

SETTINGS = {
    "smtp_connect_timeout": "3600s",
    "smtp_helo_timeout": "3600s",
    "dns_timeout": "15s",
}
KINDS = {"good": 1, "swallowed": 2, "silent": 3, "unnamed": 4}


@pytest.mark.timeout(240)
def test_the_good_half_does_not_wait_for_the_dead() -> None:
    zone = [
        f"d{n}.{kind}.test. MX 10 mx.d{n}.{kind}.test.\nmx.d{n}.{kind}.test. A 10.{number}.1.{n + 1}"
        for kind, number in KINDS.items()
        for n in range(EACH)
    ]
    recipients = [f"u@d{n}.{kind}.test" for kind in KINDS for n in range(EACH)]
    random.Random(1).shuffle(recipients)
    with (
        Namespace() as net,
        DnsServer("\n".join(zone)) as dns,
        Crowd(port=25, rules={"10.3.0.0/16": Rule(delay=3600)}) as crowd,
        Instance(settings={**SETTINGS, "dns_resolver": dns.resolver}) as mail,
    ):
        net.swallow("10.2.0.0/16")
        dns.fail("unnamed.test", "timeout")
        mail.stop()
        master = mail.root / "etc" / "master.yaml"
        text, edited = re.subn(r"(?m)^(smtp:\n(?:  .*\n)*?  sessions: )\d+$", rf"\g<1>{SESSIONS}", master.read_text())
        assert edited == 1
        master.write_text(text)
        put_in(mail.root / "spool", recipients)
        mail.start()
        mail.wait_for(lambda: crowd.counts().messages >= EACH, 120)
        mail.wait_for(lambda: len(mail.queue_ids()) == len(recipients) - EACH, 60)
        assert not mail.log_matching("(swallowed|silent|good).test>.*status=(deferred|bounced)")
        mail.kill()
