"""Dates of IMAP: date-time of INTERNALDATE and APPEND, date of SEARCH (RFC 9051 section 9).

INTERNALDATE is shown in the server's zone; SEARCH compares the day as shown, disregarding time and zone
(section 6.4.4), so the two agree.
"""

from __future__ import annotations

import calendar
import re
import time
from datetime import date
from email.utils import parsedate
from typing import Final

from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax

MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_NUMBERS = {name.upper(): number for number, name in enumerate(MONTHS, 1)}
_DATE_TIME = re.compile(rb"( \d|\d\d?)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_DATE = re.compile(rb'"?(\d{1,2})-([A-Za-z]{3})-(\d{4})"?')
_HEADER_DATE_LIMIT = 256


def parse_date_time(cursor: Cursor) -> float:
    """date-time, in seconds since the epoch."""
    found = _DATE_TIME.fullmatch(cursor.string())
    month = _NUMBERS.get(found[2].upper()) if found else None
    if found is None or month is None:
        cursor.fail('a date and time as in "17-Jul-1996 02:44:25 -0700"')
    try:
        date(int(found[3]), month, int(found[1]))
        seconds = calendar.timegm((int(found[3]), month, int(found[1]), int(found[4]), int(found[5]), int(found[6])))
    except (ValueError, OverflowError):
        raise BadSyntax("no such date") from None
    zone = (int(found[8]) * 60 + int(found[9])) * 60
    return float(seconds - zone if found[7] == b"+" else seconds + zone)


def format_date_time(when: float) -> bytes:
    """INTERNALDATE in the local zone, with its quotes."""
    try:
        local = time.localtime(when)
    except (ValueError, OverflowError, OSError):
        local = time.localtime(0)
    minutes = abs(local.tm_gmtoff) // 60
    return b'"%02d-%b-%04d %02d:%02d:%02d %c%02d%02d"' % (
        local.tm_mday,
        MONTHS[local.tm_mon - 1],
        local.tm_year,
        local.tm_hour,
        local.tm_min,
        local.tm_sec,
        b"-" if local.tm_gmtoff < 0 else b"+",
        minutes // 60,
        minutes % 60,
    )


def parse_day(cursor: Cursor) -> date:
    """date = date-text / DQUOTE date-text DQUOTE."""
    found = _DATE.match(cursor.data, cursor.position)
    month = _NUMBERS.get(found[2].upper()) if found else None
    if found is None or month is None:
        cursor.fail("a date as in 1-Feb-1994")
    cursor.position = found.end()
    try:
        return date(int(found[3]), month, int(found[1]))
    except ValueError:
        raise BadSyntax("no such date") from None


def local_day(when: float) -> date:
    """The day that INTERNALDATE shows."""
    try:
        return date.fromtimestamp(when)
    except (ValueError, OverflowError, OSError):
        return date(1970, 1, 1)


def header_day(value: bytes) -> date | None:
    """The day that a Date: field names, as written there; None where it names none."""
    try:
        fields = parsedate(value[:_HEADER_DATE_LIMIT].decode("ascii", "replace"))
        return date(*fields[:3]) if fields else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
