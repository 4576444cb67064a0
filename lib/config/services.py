"""The entries of `master.yaml`: which program serves which socket, as whom, how many, with which exceptions.

    submission:
      command: smtpd                  # the program: a folder, or FOLDER.PART where a folder has two programs
      listen: inet:submission         # inet:[ADDRESS:]PORT, private, public; several in a list
      processes: 2                    # how many at most
      warm: 1                         # how many are kept ready
      sessions: 100                   # how many clients one process serves at once
      options: {smtpd_tls_auth_only: yes}

Every value but `command` has a default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pillarbox.lib.config.errors import Problem, nearest
from pillarbox.lib.config.parameter import Raw, joined, parse_boolean, parse_seconds, split_words

STANDARD_PORTS = {
    "smtp": 25,
    "submission": 587,
    "submissions": 465,
    "lmtp": 24,
    "pop3": 110,
    "pop3s": 995,
    "imap": 143,
    "imaps": 993,
    "sieve": 4190,
    "http": 80,
}
"""Service names that `listen: inet:NAME` understands; LMTP has no assigned TCP port, 24 (private mail) is customary."""

_LISTEN = re.compile(r"private|public|inet:(?:(?P<host>[0-9.]+|\[[0-9a-fA-F:.]+\]):)?(?P<port>[a-z0-9]+)")


@dataclass(frozen=True, slots=True)
class Service:
    """One service.  `options` are parameter values that hold for this service only."""

    name: str
    command: str
    listen: tuple[str, ...] = ("private",)
    processes: int = 1
    warm: int = 1
    sessions: int = 100
    user: str = ""
    confine: bool = True
    wakeup: float = 0.0
    options: Mapping[str, Raw] = field(default_factory=dict)

    @property
    def inet(self) -> tuple[tuple[str, int], ...]:
        """The Internet sockets of the service: (address, standard port); address "" is that of inet_interfaces."""
        found = []
        for item in self.listen:
            match = _LISTEN.fullmatch(item)
            if match and match["port"]:
                port = STANDARD_PORTS.get(match["port"]) or int(match["port"])
                found.append(((match["host"] or "").strip("[]"), port))
        return tuple(found)


def _listen(raw: Raw) -> tuple[str, ...]:
    items = split_words(raw)
    for item in items:
        match = _LISTEN.fullmatch(item)
        port = match["port"] if match else None
        if not match or (port and port not in STANDARD_PORTS and not (port.isdigit() and 0 < int(port) < 65536)):
            raise ValueError(f'"private", "public" or "inet:[ADDRESS:]PORT" was expected, not "{item}"')
    return items


def _count(minimum: int) -> Callable[[Raw], int]:
    def parse(raw: Raw) -> int:
        text = joined(raw)
        if not re.fullmatch(r"\d{1,6}", text) or int(text) < minimum:
            raise ValueError(f"a whole number from {minimum} was expected")
        return int(text)

    return parse


def _command(raw: Raw) -> str:
    text = joined(raw)
    if not re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?", text):
        raise ValueError('a program folder such as "smtpd" or "imapd.login" was expected')
    return text


FIELDS: dict[str, Callable[[Raw], object]] = {
    "command": _command,
    "listen": _listen,
    "processes": _count(1),
    "warm": _count(0),
    "sessions": _count(1),
    "user": joined,
    "confine": lambda raw: parse_boolean(joined(raw)),
    "wakeup": lambda raw: parse_seconds(joined(raw)),
}


def parse_service(
    name: str,
    fields: Mapping[str, Raw],
    options: Mapping[str, Raw],
    place: Callable[[str, str], Problem],
) -> tuple[Service | None, list[Problem]]:
    """One entry, or the problems with it.  `place(key, text)` makes a problem that names the key's line."""
    problems = []
    values: dict[str, object] = {}
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name):
        problems.append(place("", f'"{name}" is not a service name: letters, digits, "-" and "_" were expected'))
    for key, raw in fields.items():
        if key not in FIELDS:
            problems.append(place(key, f"unknown service field{nearest(key, [*FIELDS, 'options'])}"))
            continue
        try:
            values[key] = FIELDS[key](raw)
        except ValueError as error:
            problems.append(place(key, str(error)))
    if "command" not in fields:
        problems.append(place("", f'the service "{name}" needs a command'))
    if problems:
        return None, problems
    service = Service(name=name, options=dict(options), **values)  # type: ignore[arg-type]
    if service.warm > service.processes:
        return None, [place("warm", f"{service.warm} is more than the {service.processes} processes allowed")]
    return service, []
