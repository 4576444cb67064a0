"""Trace fields: writing Received, counting hops, noticing loops (RFC 5321 sections 4.4 and 6.3).

Promises: what a client said is written so that it can neither end the field nor the comment it stands in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pillarbox.lib.message.date import format_date
from pillarbox.lib.message.header import scan, unfold

_UNSAFE_HELO = re.compile(r"[^!-'*+\-/-:=?-Z^-~\[\].]")
_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_UNSAFE_IN_PAIRS = re.compile(r"[\x00-\x1f\x7f\\<>]")
_UNSAFE_TEXT = re.compile(r"[\x00-\x1f\x7f()\\<>]")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message came from, as far as a Received field tells it.

    `helo`, `name`, `address`: what the client called itself, its verified name ("unknown"), its IP address.
    `tls`: `TLSv1.3 with cipher X (256/256 bits)` or "".  `tls_exchange`: `key-exchange X25519 ...`, `tls_client`: what
    certificate the client has shown; looked at where `tls` is set.  `user`: the authenticated user or "".
    `protocol`: ESMTP, ESMTPS, ESMTPSA, LMTP, UTF8SMTP... (RFC 3848, 6531).
    """

    helo: str
    name: str
    address: str
    protocol: str
    tls: str = ""
    user: str = ""
    tls_exchange: str = ""
    tls_client: str = ""


def received_from(origin: Origin, *, host: str, queue_id: str, when: float, recipient: str = "") -> bytes:
    """The field for mail from the network; `recipient` only where it is the only one: others must not learn of it."""
    literal = f"IPv6:{origin.address}" if ":" in origin.address else origin.address
    lines = [f"Received: from {_UNSAFE_HELO.sub('?', origin.helo)} ({_comment(origin.name)} [{literal}])"]
    if origin.tls:
        exchange = f"\n\t {_comment(origin.tls_exchange)}" if origin.tls_exchange else ""
        lines.append(f"\t(using {_comment(origin.tls)}{exchange})")
        if origin.tls_client:
            lines.append(f"\t({_comment(origin.tls_client)})")
    if origin.user:
        lines.append(f"\t(Authenticated sender: {_comment(origin.user)})")
    by = f"by {host} (Pillarbox) with {origin.protocol} id {queue_id}"
    return _finish(lines, by, when, recipient)


def received_local(*, host: str, queue_id: str, uid: int, when: float) -> bytes:
    """The field for mail handed in on this machine."""
    return _finish([f"Received: by {host} (Pillarbox, from userid {uid})"], f"id {queue_id}", when, "")


def received_by(*, host: str, queue_id: str, when: float) -> bytes:
    """The field for mail that the suite itself makes."""
    return _finish([f"Received: by {host} (Pillarbox)"], f"id {queue_id}", when, "")


def _finish(lines: list[str], last: str, when: float, recipient: str) -> bytes:
    if recipient:
        lines += [f"\t{last}", f"\tfor <{_UNSAFE_TEXT.sub('?', recipient)}>; {format_date(when)}"]
    else:
        lines.append(f"\t{last}; {format_date(when)}")
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _comment(text: str) -> str:
    """Text for inside a comment; parentheses that come in pairs may stay: comments nest (RFC 5322 section 3.2.2)."""
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
    if depth:
        return _UNSAFE_TEXT.sub("?", text)
    return _UNSAFE_IN_PAIRS.sub("?", text)


def count_hops(block: bytes) -> int:
    """How many Received fields a header block has (a block without the body)."""
    return len(_RECEIVED.findall(block))


def delivered_to(block: bytes) -> list[str]:
    """The addresses of all Delivered-To fields, as written, in order."""
    if b"delivered-to" not in block.lower():
        return []
    return [
        unfold(block[field.value : field.end]).decode("utf-8", "surrogateescape")
        for field in scan(block)
        if field.name.lower() == b"delivered-to"
    ]


def loops(block: bytes, recipient: str) -> bool:
    """Whether the message was delivered to `recipient` before (Delivered-To; case does not matter)."""
    wanted = recipient.lower()
    return any(address.strip("<>").lower() == wanted for address in delivered_to(block))


def delivery_fields(sender: str, original: str, recipient: str) -> bytes:
    """The fields on top of a message in a mailbox: Return-Path, X-Original-To, Delivered-To."""
    lines = f"Return-Path: <{sender}>\nX-Original-To: {original or recipient}\nDelivered-To: {recipient}\n"
    return lines.replace("\r", "?").encode("utf-8", "surrogateescape")
