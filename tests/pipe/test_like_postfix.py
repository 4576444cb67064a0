"""Real Postfix's pipe(8) and ours give a command the same arguments and the same input, and take its end alike."""

from __future__ import annotations

import os
import re
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.delivery import Content, DeliveryRecipient, DeliveryRequest
from pillarbox.pipe.command import parse_pipe_command
from pillarbox.pipe.delivery import PipeDelivery
from tests.peers.postfix import Postfix

MESSAGE = b"Subject: x\nMIME-Version: 1.0\n\n.dot\n..two\nFrom me\nend\n"
DUMP = """\
#!/bin/sh
# dump PLACE ARGUMENT...: the arguments, then the input, to a file PLACE.* of each run
place=$1; shift
{ for each; do printf '[%s]\\n' "$each"; done; echo "--input--"; cat; } > "$place.$$"
"""


@dataclass(frozen=True, slots=True)
class Case:
    """`attributes` without user and argv, the words of the command behind the dump's place, and the envelope."""

    attributes: str
    words: str
    recipients: tuple[str, ...] = ("Ann+Ext@{domain}",)
    sender: str = "Send.er@Example.ORG"
    command: str = ""
    """What runs in place of the dump."""


CASES = (
    Case("", "${sender} ${recipient}"),
    Case("flags=Rq", "-f ${sender} -- ${recipient}"),
    Case("flags=hu", "${user} ${extension} ${mailbox} ${domain} ${nexthop} ${recipient} ${original_recipient}"),
    Case("", "${user} ${extension} ${mailbox} ${domain} ${nexthop} ${recipient} ${original_recipient}"),
    Case("flags=DROFhu", "${recipient}"),
    Case("flags=F", "x"),
    Case("flags=F", "${sender}", sender=""),
    Case("flags=R", "${sender}", sender=""),
    Case("flags=R null_sender=nobody", "${sender}", sender=""),
    Case("null_sender=", "${sender}", sender=""),
    Case("flags=B", "x"),
    Case("flags=.", "x"),
    Case("flags=>", "x"),
    Case(r"flags=.> eol=\r\n", "x"),
    Case(r"flags=FRB eol=\r\n", "x"),
    Case("flags=q", "${recipient}", ('"two words"@{domain}',)),
    Case("", "${recipient} ${user} ${mailbox}", ('"two words"@{domain}',)),
    Case("", "a=${recipient} ${sender} x${user}y", ("one@{domain}", "two+x@{domain}")),
    Case("flags=D", "${recipient}", ("one@{domain}", "two@{domain}")),
    Case("", "$recipient $(user) $$x {two words} {a ${user} b}"),
    Case("flags=X", "x"),
    Case("size=10", "x"),
    *(
        Case("", "", command=f"/bin/sh -c {{{script}}}")
        for script in (
            "exit 0",
            "echo said; exit 0",
            "exit 1",
            "echo why; exit 1",
            "exit 64",
            "exit 65",
            "echo who; exit 67",
            "exit 69",
            "exit 71",
            "exit 75",
            "echo later; exit 75",
            "exit 78",
            "exit 99",
            "echo 4.2.2 full; exit 1",
            "echo 5.7.1 go away; exit 75",
            "echo 5.7.1 go away; exit 0",
            "kill -9 $$$$",
            "echo x >&2; exit 3",
        )
    ),
    Case("", "", command="/nonexistent/command"),
)
ONE_AT_A_TIME = [number for number, case in enumerate(CASES) if re.match(r"flags=\w*[DO]", case.attributes)]


def _domain(number: int) -> str:
    return f"P{number}.Example.com"


def _recipients(number: int) -> list[str]:
    return [each.format(domain=_domain(number)) for each in CASES[number].recipients]


def _argv(case: Case, place: Path) -> str:
    return case.command or f"{place.parent}/dump {place} {case.words}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pipe")
    for parent in (place, *place.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)
    place.chmod(0o777)
    (place / "dump").write_text(DUMP)
    (place / "dump").chmod(0o755)
    return place


@pytest.fixture(scope="module")
def postfix(place: Path) -> Iterator[Postfix]:
    services = ""
    for number, case in enumerate(CASES):
        argv = _argv(case, place / f"theirs{number}")
        services += f"p{number} unix - n n - - pipe\n  {case.attributes} user=nobody argv={argv}\n"
    transports = ", ".join(f"{{p{number}.example.com = p{number}:}}" for number in range(len(CASES)))
    parameters = {
        "transport_maps": f"inline:{{{transports}}}",
        "recipient_delimiter": "+",
        "queue_run_delay": "1h",
        "minimal_backoff_time": "1h",
        "maximal_backoff_time": "2h",
        **{f"p{number}_destination_recipient_limit": "1" for number in ONE_AT_A_TIME},
    }
    with Postfix(hostname="mx.example.net", parameters=parameters, services=services) as running:
        with smtplib.SMTP(running.address, running.port) as client:
            client.ehlo("client.example")
            for number, case in enumerate(CASES):
                client.sendmail(case.sender, _recipients(number), MESSAGE.replace(b"\n", b"\r\n"))
        running.wait_for(lambda: sum(_is_ours(each.agent, each.relay) for each in running.deliveries()) >= _expected())
        yield running


def _is_ours(agent: str, relay: str) -> bool:
    return agent == "pipe" and relay.startswith("p")


def _expected() -> int:
    return sum(len(case.recipients) for case in CASES)


def _ours(number: int, place: Path, tmp_path: Path) -> list[tuple[str, str, str]]:
    case = CASES[number]
    file = tmp_path / "queue"
    file.write_bytes(MESSAGE)
    fd = os.open(file, os.O_RDONLY)
    request = DeliveryRequest(
        tag=1,
        queue_id="4jXFYl6dnjzKD6m",
        sender=case.sender,
        recipients=tuple(DeliveryRecipient(n, address) for n, address in enumerate(_recipients(number))),
        content=Content(fd, 0, len(MESSAGE)),
        transport=f"p{number}",
        nexthop=_domain(number),
        arrival=1.0,
        active=1.0,
        taken=1.0,
    )
    command = parse_pipe_command(f"{case.attributes} argv={_argv(case, place / f'ours{number}')}")
    config = Config.for_tests(recipient_delimiter="+")
    ((_, results, _),) = PipeDelivery(config, f"p{number}", command, lambda: None).deliver([request])
    os.close(fd)
    return sorted((result.status, result.dsn, result.text) for result in results)


def _shown(path: Path) -> list[str]:
    """The runs, in any order, without what came in differently."""
    return sorted(map(_plain, path.parent.glob(f"{path.name}.*")))


def _plain(path: Path) -> str:
    text = path.read_bytes().decode()
    text = re.sub(r"(?m)^(From \S+)  [^\r\n]*", r"\1  DATE", text)
    text = re.sub(r"(?m)^Received: .*\n(?:[ \t].*\n)*", "", text)
    return re.sub(r"(?m)^(Message-Id|Date|From|To): .*\n", "", text, flags=re.I)


@pytest.mark.parametrize(
    "number", range(len(CASES)), ids=[f"{case.attributes} {case.words}{case.command} {case.sender}" for case in CASES]
)
def test_a_command_is_run_like_postfixs(postfix: Postfix, place: Path, tmp_path: Path, number: int) -> None:
    results = _ours(number, place, tmp_path)
    theirs = [each for each in postfix.deliveries() if each.relay == f"p{number}"]
    assert _shown(place / f"ours{number}") == _shown(place / f"theirs{number}")
    assert [(status, dsn) for status, dsn, _ in results] == sorted((each.status, each.dsn) for each in theirs)
