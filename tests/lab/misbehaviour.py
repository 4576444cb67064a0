"""Servers that misbehave, each in one way that has a name: `misbehaving("drop-content")` is an SmtpSink that does so.

    for name in BEHAVIOURS: ...
    with misbehaving("tls-wrong-certificate", authority=authority, address=address, port=25) as sink:
        ...

Everything that such a server does not do wrong it does right, and it keeps messages and dialogues like any sink. What a
name stands for is in BEHAVIOURS; `python -m tests.lab.misbehaviour` prints the table.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.lab.certificates import Authority
from tests.lab.sinks import DROP, ENDLESS, ENDLESS_LINE, GARBAGE, HANG, RESET, Reply, SmtpSink

PHASES = ("connect", "ehlo", "mail", "rcpt", "data", "content", "rset", "quit")
"""The moments at which a server can fail; "content" is the reply to the final dot or the last chunk."""


@dataclass(frozen=True)
class Behaviour:
    """What one kind of server does wrong: options for SmtpSink, replies by phase, and the certificate that it shows."""

    meaning: str
    options: Mapping[str, Any] = field(default_factory=dict)
    replies: Mapping[str, Reply] = field(default_factory=dict)
    certificate: str = ""  # "good", "wrong" (for another name), "expired"


def _table() -> dict[str, Behaviour]:
    found = {
        "slow": Behaviour("each reply comes a second late", {"delay": 1}),
        "tarpit": Behaviour("each reply comes octet by octet, five a second", {"pace": 0.2}),
        "busy": Behaviour("greets with 421 and closes", replies={"connect": "421 4.3.2 too busy, come back later"}),
        "greeting-4xx": Behaviour("greets with 450, then waits", replies={"connect": "450 4.7.1 not now"}),
        "greeting-5xx": Behaviour(
            "greets with 554, then waits", replies={"connect": "554 5.7.1 no mail from you here"}
        ),
        "greeting-multiline": Behaviour(
            "greets with twenty lines", replies={"connect": "\n".join(["220 sink.test"] + ["220 be welcome"] * 19)}
        ),
        "no-ehlo": Behaviour("knows HELO only", replies={"ehlo": "502 5.5.1 not implemented"}),
        "goodbye": Behaviour("answers MAIL with 421 and closes", replies={"mail": "421 4.7.0 that was enough"}),
        "one-message": Behaviour("closes after each message, without a word", {"messages_per_session": 1}),
        "one-recipient": Behaviour("452 for each recipient after the first", {"recipients_per_message": 1}),
        "endless-reply": Behaviour("the reply to EHLO has no last line", replies={"ehlo": ENDLESS}),
        "endless-line": Behaviour("the greeting has no end of line", replies={"connect": ENDLESS_LINE}),
        "garbage": Behaviour("answers MAIL with octets that are no reply", replies={"mail": GARBAGE}),
        "wrong-code": Behaviour("answers RCPT with 354", replies={"rcpt": "354 go ahead, of whatever"}),
        "early-data": Behaviour(
            "answers DATA with 354 although no recipient was good", {"eager": True}, {"rcpt": "550 5.1.1 no such user"}
        ),
        "drop-within-content": Behaviour("closes after 1000 octets of content", {"drop_after": 1000}),
        "tls-garbage": Behaviour("answers the TLS handshake with text", {"tls": "garbage"}),
        "tls-stall": Behaviour("never answers the TLS handshake", {"tls": "stall"}),
        "tls-close": Behaviour("closes after its 220 to STARTTLS", {"tls": "close"}),
        "tls-cut": Behaviour("closes when it has read the ClientHello", {"tls": "cut"}),
        "tls-refused": Behaviour(
            "offers STARTTLS and refuses it", {}, {"starttls": "454 4.7.0 TLS not available"}, "good"
        ),
        "tls-injected": Behaviour(
            "sends a plain reply together with its 220 to STARTTLS (CVE-2011-0411, turned round)",
            {"tls": "injected"},
            certificate="good",
        ),
        "tls-wrong-certificate": Behaviour("shows a certificate for another name", certificate="wrong"),
        "tls-expired": Behaviour("shows a certificate whose time is over", certificate="expired"),
        "tls-hidden": Behaviour("does STARTTLS without announcing it", {"hidden": ("STARTTLS",)}, certificate="good"),
    }
    for phase in PHASES:
        found[f"drop-{phase}"] = Behaviour(f"closes instead of its reply ({phase})", replies={phase: DROP})
        found[f"reset-{phase}"] = Behaviour(
            f"resets the connection instead of its reply ({phase})", replies={phase: RESET}
        )
        found[f"hang-{phase}"] = Behaviour(f"never gives its reply ({phase})", replies={phase: HANG})
    for keyword, refused in _LIES.items():
        found[f"lie-{keyword.lower()}"] = Behaviour(f"announces {keyword} and {refused}", {"lies": (keyword,)})
    for keyword in ("PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "SIZE", "DSN"):
        found[f"without-{keyword.lower()}"] = Behaviour(f"does not announce {keyword}", {"hidden": (keyword,)})
    return found


_LIES = {
    "SIZE": "answers 555 to SIZE=",
    "8BITMIME": "answers 555 to BODY=",
    "SMTPUTF8": "answers 555 to the parameter SMTPUTF8",
    "DSN": "answers 555 to RET=, ENVID=, NOTIFY= and ORCPT=",
    "CHUNKING": "answers 502 to BDAT, whose octets it does not expect",
    "PIPELINING": "throws away what came together with a command",
}

BEHAVIOURS: dict[str, Behaviour] = _table()
"""Every way to misbehave, by name."""


def misbehaving(name: str, *, authority: Authority | None = None, **options: Any) -> SmtpSink:
    """A server that misbehaves so; `options` are those of SmtpSink.

    Those with a certificate need the `authority` that signs it: for `options["hostname"]`, or for another name.
    Raises KeyError for a name that BEHAVIOURS lacks.
    """
    behaviour = BEHAVIOURS[name]
    if behaviour.certificate:
        if authority is None:
            raise ValueError(f"{name} needs an authority")
        host = "elsewhere.test" if behaviour.certificate == "wrong" else options.get("hostname", "sink.test")
        options["certificate"] = authority.issue(host, expired=behaviour.certificate == "expired")
    sink = SmtpSink(**{**behaviour.options, **options})
    sink.replies.update(behaviour.replies)
    return sink


def main() -> int:
    """Print the table."""
    width = max(map(len, BEHAVIOURS))
    for name, behaviour in BEHAVIOURS.items():
        print(f"{name:{width}}  {behaviour.meaning}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
