"""Dates in header fields (RFC 5322 section 3.3).

Promises: `format_date` writes what every reader takes, day with two digits, the local zone and its name as a comment;
`parse_date` reads that, all obsolete forms and the usual mistakes, or says None.  Times are seconds since the epoch.
"""

from __future__ import annotations

import calendar
import re
import time

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}

# RFC 5322 section 4.3; other letters and names mean "unknown" and count as UTC.
_ZONES = {"est": -300, "edt": -240, "cst": -360, "cdt": -300, "mst": -420, "mdt": -360, "pst": -480, "pdt": -420}

_LONGEST = 128  # octets looked at: a date is far shorter
_COMMENT = re.compile(r"\([^()]*\)")
_DATE = re.compile(
    r"""\s*(?:[A-Za-z]{2,9}\s*,?\s*)?         # day of the week
        (\d{1,2})[\s-]+([A-Za-z]{3})[a-z]*\.?[\s-]+(\d{2,4})
        [\s,]+(\d{1,2})\s*[:.]\s*(\d{1,2})(?:\s*[:.]\s*(\d{1,2})(?:\.\d+)?)?
        \s*(?:([+-])\s*(\d{2}):?(\d{2})|([A-Za-z]{1,5}))?\s*(?:\([^()]*\)?)?""",
    re.VERBOSE,
)
_ASCTIME = re.compile(
    r"\s*[A-Za-z]{3}\s+([A-Za-z]{3})\s+(\d{1,2})\s+(\d{1,2}):(\d{2}):(\d{2})\s+(?:([A-Z]{1,5})\s+)?(\d{4})(?:\s+([+-])(\d{2})(\d{2}))?"
)

_last_second = (-1, "")


def format_date(when: float) -> str:
    """`Sun, 22 Nov 2026 03:38:16 +0100 (CET)` in the local zone.

    The last answer is kept: within one second many messages ask the same.
    """
    global _last_second
    second = int(when)
    if second != _last_second[0]:
        _last_second = (second, _format(second))
    return _last_second[1]


def _format(second: int) -> str:
    local = time.localtime(second)
    minutes = local.tm_gmtoff // 60
    sign = "-" if minutes < 0 else "+"
    hours, minutes = divmod(abs(minutes), 60)
    zone = local.tm_zone
    comment = f" ({zone})" if zone and zone.isascii() and zone.isalnum() and not zone.isdigit() else ""
    return (
        f"{_DAYS[local.tm_wday]}, {local.tm_mday:02} {_MONTHS[local.tm_mon - 1]} {local.tm_year:04} "
        f"{local.tm_hour:02}:{local.tm_min:02}:{local.tm_sec:02} {sign}{hours:02}{minutes:02}{comment}"
    )


def format_asctime(when: float) -> str:
    """`Sun Nov 22 03:38:16 2026` in local time, the form of mbox files and queue listings, whatever the locale."""
    local = time.localtime(when)
    return (
        f"{_DAYS[local.tm_wday]} {_MONTHS[local.tm_mon - 1]} {local.tm_mday:2} "
        f"{local.tm_hour:02}:{local.tm_min:02}:{local.tm_sec:02} {local.tm_year:04}"
    )


def parse_date(text: str) -> float | None:
    """The time that a Date field names, None where it names none."""
    found = parse_zoned(text)
    return None if found is None else found[0]


def parse_zoned(text: str) -> tuple[float, int] | None:
    """The time that a Date field names, and its zone in minutes east of UTC; None where it names none.

    Two-digit years are 2000-2049 and 1950-1999, three digits count from 1900 (RFC 5322 section 4.3); no zone is UTC.
    """
    text = text[:_LONGEST]
    if "(" in text:
        text = _COMMENT.sub(" ", _COMMENT.sub(" ", text))
    found = _DATE.match(text)
    if found is not None:
        day, month, year, hour, minute, second, sign, zone_hours, zone_minutes, zone_name = found.groups()
        offset = _offset(sign, zone_hours, zone_minutes, zone_name)
        return _zoned(_seconds(_year(year), month, day, hour, minute, second or "0", offset), offset)
    found = _ASCTIME.match(text)
    if found is not None:
        month, day, hour, minute, second, zone_name, year, sign, zone_hours, zone_minutes = found.groups()
        offset = _offset(sign, zone_hours, zone_minutes, zone_name)
        return _zoned(_seconds(int(year), month, day, hour, minute, second, offset), offset)
    return None


def _zoned(seconds: float | None, offset: int) -> tuple[float, int] | None:
    return None if seconds is None else (seconds, offset)


def _year(digits: str) -> int:
    year = int(digits)
    if len(digits) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(digits) == 3 else year


def _offset(sign: str | None, hours: str | None, minutes: str | None, name: str | None) -> int:
    """Minutes east of UTC."""
    if sign and hours and minutes:
        value = int(hours) * 60 + int(minutes)
        return -value if sign == "-" else value
    return _ZONES.get((name or "").lower(), 0)


def _seconds(year: int, month: str, day: str, hour: str, minute: str, second: str, offset: int) -> float | None:
    number = _MONTH_NUMBERS.get(month.lower())
    if number is None or not 1900 <= year <= 9999 or abs(offset) >= 24 * 60:
        return None
    d, h, m, s = int(day), int(hour), int(minute), int(second)
    if not (1 <= d <= calendar.monthrange(year, number)[1] and h < 24 and m < 60 and s <= 60):
        return None
    return float(calendar.timegm((year, number, d, h, m, s)) - offset * 60)
