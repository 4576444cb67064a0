"""What screening costs a client that is known for good: `python -m bench.screening` prints microseconds.

The same sessions (greeting, EHLO, MAIL, RCPT, QUIT; one after the other) go to an instance without any screening and to
one with greet delay, two DNS lists and greylisting, in turn.  The client has passed everything once.  Then what
one question to the service reputation takes, alone and among many.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from pathlib import Path

from pillarbox.lib.clients.reputation import AsyncReputationClient, GreylistPolicy, Passed
from pillarbox.lib.config import load
from tests.e2e.wire import BOB
from tests.lab.dns import DnsServer
from tests.lab.instance import Instance
from tests.lab.processes import cpu_time, tree

CLIENT = "127.9.1.1"
SESSIONS = 400
ROUNDS = 3
QUESTIONS = 5000
AT_ONCE = 50
OFF = {"mynetworks": "192.0.2.0/24"}
ON = {
    **OFF,
    "smtpd_greet_wait": "0.2s",
    "smtpd_greet_action": "drop",
    "smtpd_dnsbl_sites": "bl.lab*2, wl.lab*-1",
    "smtpd_dnsbl_action": "drop",
    "smtpd_greylisting": "yes",
    "smtpd_greylist_delay": "1s",
    "smtpd_greylist_client_threshold": "1",
}


def session(instance: Instance) -> tuple[float, float, str]:
    """One session: seconds to the greeting, seconds in all, the answer to RCPT."""
    began = time.perf_counter()
    with socket.create_connection(
        (instance.address, instance.port("smtp")), timeout=60, source_address=(CLIENT, 0)
    ) as connection:
        reader = connection.makefile("rb")

        def reply() -> str:
            while (line := reader.readline())[3:4] == b"-":
                pass
            return line.decode()

        reply()
        greeted = time.perf_counter()
        answer = ""
        for command in ("EHLO far.lab", "MAIL FROM:<carol@far.lab>", f"RCPT TO:<{BOB}>"):
            connection.sendall(f"{command}\r\n".encode())
            answer = reply()
        connection.sendall(b"QUIT\r\n")
        reply()
        return greeted - began, time.perf_counter() - began, answer


def _spent(instance: Instance) -> float:
    return sum(cpu_time(each.pid) for each in tree(instance.master_pid()))


def measure(instance: Instance) -> tuple[float, float, float]:
    """Microseconds: median to the greeting, median of a session, CPU of all processes per session."""
    before = _spent(instance)
    times = [session(instance) for _ in range(SESSIONS)]
    assert all(answer.startswith("250") for _, _, answer in times)
    greeting, whole = (statistics.median(column) * 1e6 for column in list(zip(*times, strict=True))[:2])
    return greeting, whole, (_spent(instance) - before) / SESSIONS * 1e6


async def questions(instance: Instance) -> None:
    """What the service reputation takes for an answer."""
    client = AsyncReputationClient(load(str(instance.config)))
    client.passed(CLIENT, Passed(2**40, 2**40, 0))
    policy = GreylistPolicy(300, 172800, 3024000, 5)
    for name, ask in (
        ("client", lambda number: client.client(CLIENT)),
        ("greylist (new triplets)", lambda number: client.greylist("net", f"t{number}-{time.time_ns()}", "s", policy)),
    ):
        began = time.perf_counter()
        for number in range(QUESTIONS):
            await ask(number)
        alone = (time.perf_counter() - began) / QUESTIONS * 1e6
        began = time.perf_counter()
        for start in range(0, QUESTIONS, AT_ONCE):
            await asyncio.gather(*(ask(start + number) for number in range(AT_ONCE)))
        many = (time.perf_counter() - began) / QUESTIONS * 1e6
        print(f"reputation, {name}: {alone:.0f} us alone, {many:.0f} us each where {AT_ONCE} are asked at once")
    client.close()


def main() -> None:
    """Measure and print."""
    where = Path("/var/tmp")
    with (
        DnsServer("far.lab. A 127.0.0.1") as dns,
        Instance(users={BOB: "x"}, parent=where, settings={**OFF, "dns_resolver": dns.resolver}) as without,
        Instance(users={BOB: "x"}, parent=where, settings={**ON, "dns_resolver": dns.resolver}) as with_it,
    ):
        while not session(with_it)[2].startswith("250"):
            time.sleep(0.2)
        for instance in (without, with_it):
            for _ in range(50):  # so that each process has seen the client
                session(instance)
        asked = len(dns.questions)
        for _ in range(ROUNDS):
            for name, instance in (("without", without), ("with all", with_it)):
                greeting, whole, cpu = measure(instance)
                print(f"{name:>8}: greeting after {greeting:.0f} us, session {whole:.0f} us, CPU {cpu:.0f} us")
        print(f"DNS questions for {2 * ROUNDS * SESSIONS} sessions: {len(dns.questions) - asked}")
        asyncio.run(questions(with_it))


if __name__ == "__main__":
    main()
