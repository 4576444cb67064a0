"""What sessions cost: `python -m bench.sessions` prints bytes per session, and what 2,000 idle ones cost the others.

Deliveries are counted with and without the idle sessions in turn, so that a slow minute of the machine meets both.
"""

from __future__ import annotations

import time
from pathlib import Path

from bench.load import MESSAGE_SIZE, send
from tests.e2e.wire import BOB, PASSWORD
from tests.lab.instance import Instance
from tests.load.sessions import at_rest, begin_message, idle

IDLE = 2000
MESSAGES = 5000
ROUNDS = 3


def main() -> None:
    """Measure and print."""
    with Instance(users={BOB: PASSWORD}, parent=Path("/var/tmp")) as mail:
        with idle(mail, 50), idle(mail, 50, tls=True):
            pass
        for what, count, tls in (("idle", 1000, False), ("idle under TLS", 300, True)):
            before = at_rest(mail, "smtpd")
            with idle(mail, count, tls=tls):
                print(f"{what}: {(at_rest(mail, 'smtpd') - before) / count / 1000:.1f} kB for each session")
        with idle(mail, 100) as clients:
            before = {name: at_rest(mail, name) for name in ("smtpd", "cleanup")}
            for client in clients:
                begin_message(client, 2_000_000)
            for name, memory in before.items():
                print(f"in a message: {(at_rest(mail, name) - memory) / 100 / 1000:.0f} kB for each session in {name}")
        alone, beside = [], []
        for _ in range(ROUNDS):
            alone.append(_rate(mail))
            with idle(mail, IDLE, sources=50):
                beside.append(_rate(mail))
        print(f"{MESSAGES} messages of {MESSAGE_SIZE} octets over 20 sessions, {ROUNDS} times each way:")
        print(f"accepted without idle sessions: {_shown(alone)} a second")
        print(f"accepted beside {IDLE} of them:  {_shown(beside)} a second; {max(beside) / max(alone):.2f} times")


def _rate(mail: Instance) -> float:
    elapsed = send((mail.address, mail.port("smtp")), BOB, 20, MESSAGES)
    while mail.queue_ids():
        time.sleep(0.05)
    for path in (mail.maildir(BOB) / "new").iterdir():
        path.unlink()
    return MESSAGES / elapsed


def _shown(rates: list[float]) -> str:
    return ", ".join(f"{rate:.0f}" for rate in rates)


if __name__ == "__main__":
    main()
