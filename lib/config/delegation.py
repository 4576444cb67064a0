"""Policy servers as check_policy_service names them: where they listen, and how patient smtpd is with each.

    inet:HOST:PORT   unix:PATH (below queue_directory unless it begins with a slash)
    { inet:127.0.0.1:10023, timeout=10s, default_action=DUNNO }

Settings of one server stand behind its address; the others come from the smtpd_policy_service_... parameters.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from pillarbox.lib.config.errors import nearest
from pillarbox.lib.config.parameter import parse_seconds, split_words

TIMES = ("timeout", "retry_delay", "max_idle", "max_ttl")
COUNTS = ("try_limit", "request_limit")
TEXTS = ("default_action", "policy_context")
SETTINGS = (*TIMES, *COUNTS, *TEXTS)
"""The settings that one server may have of its own; each is smtpd_policy_service_NAME (or policy_context) for all."""

_INET = re.compile(r"inet:(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):)?([0-9]{1,5})")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class PolicyServer:
    """One server.  `path` is "" for `inet:`; `times`, `counts` and `texts` hold the settings that it has of its own."""

    path: str = ""
    host: str = ""
    port: int = 0
    times: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"inet:{self.host}:{self.port}"


def parse_policy_server(text: str) -> PolicyServer:
    """Raises ValueError, said for a person."""
    if not text.startswith("{"):
        return PolicyServer(*_address(text))
    address, *settings = split_words(text[1:-1].strip()) or ("",)
    times: dict[str, float] = {}
    counts: dict[str, int] = {}
    texts: dict[str, str] = {}
    for item in _joined(settings):
        name, equals, value = item.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or name not in SETTINGS:
            raise ValueError(f'"{name}" is no setting of a policy server{nearest(name, SETTINGS)}')
        if name in TIMES:
            times[name] = parse_seconds(value)
        elif name in COUNTS:
            if not re.fullmatch(r"[0-9]{1,9}", value):
                raise ValueError(f'{name}: a whole number was expected, not "{value}"')
            counts[name] = int(value)
        else:
            texts[name] = value
    return PolicyServer(*_address(address), times, counts, texts)


def _joined(words: list[str]) -> list[str]:
    """Settings with blanks round the equals sign, or in braces for the sake of blanks in the value, as one text."""
    found: list[str] = []
    for word in words:
        if word.startswith("{") and word.endswith("}"):
            found.append(word[1:-1].strip())
        elif found and (word.startswith("=") or found[-1].endswith("=")):
            found[-1] += word
        else:
            found.append(word)
    return found


def _address(text: str) -> tuple[str, str, int]:
    if text.startswith("unix:") and len(text) > len("unix:"):
        return text.removeprefix("unix:"), "", 0
    match = _INET.fullmatch(text)
    if match is None or not 0 < int(match[2]) < 65536:
        raise ValueError(f'a server such as inet:127.0.0.1:10023 or unix:private/policy was expected, not "{text}"')
    host = (match[1] or "127.0.0.1").strip("[]")
    if ":" in host:
        host = str(ipaddress.IPv6Address(host))
    elif not _HOST.fullmatch(host):
        raise ValueError(f'the name or address of a host was expected in "{text}"')
    return "", host, int(match[2])
