"""The header lines that final delivery prepends, and the loop that they uncover.

`Return-Path:` is RFC 5321 section 4.4's; `X-Original-To:` and `Delivered-To:` are those of local(8) and virtual(8).
A message that comes back to an address which stands in one of its Delivered-To: lines goes round in a loop.
"""

from __future__ import annotations

import re

_LINE_BREAKS = re.compile(r"[\r\n\0]")
_DELIVERED_TO = re.compile(rb"^delivered-to:[ \t]*([^\n]*)", re.MULTILINE)


def delivered_lines(sender: str, original: str, address: str) -> bytes:
    """Return-Path, X-Original-To and Delivered-To, each line ended by LF."""
    text = f"Return-Path: <{sender}>\nX-Original-To: {original or address}\nDelivered-To: {address}\n"
    if text.count("\n") != 3 or "\r" in text or "\0" in text:
        sender, original, address = (_LINE_BREAKS.sub("?", part) for part in (sender, original or address, address))
        text = f"Return-Path: <{sender}>\nX-Original-To: {original}\nDelivered-To: {address}\n"
    return text.encode("utf-8", "surrogateescape")


def delivered_to(header: bytes) -> frozenset[bytes]:
    """The addresses in Delivered-To: lines, in lower case; `header` is the message's header block."""
    lowered = header.lower()
    if b"delivered-to:" not in lowered:
        return frozenset()
    return frozenset(value.strip() for value in _DELIVERED_TO.findall(lowered))


def has_visited(visited: frozenset[bytes], address: str) -> bool:
    """Whether `address` is among what `delivered_to` gave."""
    return bool(visited) and address.lower().encode("utf-8", "surrogateescape") in visited
