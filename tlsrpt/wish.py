"""What a domain's TXT records wish: where reports go (RFC 8460 section 3).  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from pillarbox.lib.address.address import AddressSyntaxError
from pillarbox.lib.address.path import parse_mailbox
from pillarbox.lib.http import HttpPlace

PLACES_LIMIT: Final = 4
"""Places of one domain that get its report; further ones are passed over."""

PLACE_LIMIT: Final = 1000
"""Characters of one."""

_WSP = " \t"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_VALUE = re.compile(r"[\t\x20-\x7e]+")


def wished_places(texts: Iterable[bytes]) -> tuple[str, ...]:
    """The URIs in the TXT records of `_smtp._tls.DOMAIN`, those that can be used, at most `PLACES_LIMIT`.

    () where there are none, two records, or a malformed one: the domain wants no reports.
    """
    found = [text for text in texts if text.startswith(b"v=TLSRPTv1") and text[10:].lstrip(_WSP.encode())[:1] == b";"]
    if len(found) != 1 or not found[0].isascii():
        return ()
    _version, *fields = (field.strip(_WSP) for field in found[0].decode("ascii").split(";"))
    if fields and not fields[-1]:  # one delimiter may end the record
        fields.pop()
    places: list[str] | None = None
    for text in fields:
        name, _, value = text.partition("=")
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return ()
        if name == "rua" and places is None:
            places = [place for each in value.split(",") if usable(place := each.strip(_WSP))]
    return tuple(dict.fromkeys(places or ()))[:PLACES_LIMIT]


def usable(place: str) -> bool:
    """Whether a report can be sent there."""
    if len(place) > PLACE_LIMIT or re.search(r"\s", place):
        return False
    if place[:8].lower() == "https://":
        try:
            return bool(HttpPlace.of(place, None).host)
        except ValueError:
            return False
    return bool(mail_address(place))


def mail_address(place: str) -> str:
    """The address in a mailto URI, "" where it is none (RFC 6068; header fields in it are passed over)."""
    if place[:7].lower() != "mailto:":
        return ""
    try:
        text = unquote_to_bytes(place[7:].partition("?")[0]).decode("ascii")
        return str(parse_mailbox(text, allow_utf8=False))
    except (UnicodeDecodeError, AddressSyntaxError):
        return ""
