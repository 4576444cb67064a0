"""Dates (RFC 5260): `date` looks at a header field, `currentdate` at the clock."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from pillarbox.lib.message.date import parse_zoned
from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.errors import RuntimeFault
from pillarbox.lib.sieve.match import TAGS as MATCH_TAGS
from pillarbox.lib.sieve.match import Comparison, comparison
from pillarbox.lib.sieve.message_tests import INDEX_TAGS, Fields, fields
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import STRING, STRINGS, Positional, Rule, TagRule
from pillarbox.lib.sieve.text import Text

_ZONE = re.compile(r"([+-])([0-9]{2})([0-5][0-9])")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MODIFIED_JULIAN_DAY_0 = datetime(1858, 11, 17).toordinal()


def _zone(when: datetime) -> str:
    minutes = int((when.utcoffset() or timedelta()).total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"


def _iso(when: datetime) -> str:
    zone = _zone(when)
    return f"{when.year:04}-{when.month:02}-{when.day:02}T{when:%H:%M:%S}{zone[:3]}:{zone[3:]}"


def _std11(when: datetime) -> str:
    day = f"{_DAYS[when.weekday()]}, {when.day:02} {_MONTHS[when.month - 1]} {when.year:04}"
    return f"{day} {when:%H:%M:%S} {_zone(when)}"


PARTS: Final[dict[str, Callable[[datetime], str]]] = {
    "year": lambda when: f"{when.year:04}",
    "month": lambda when: f"{when.month:02}",
    "day": lambda when: f"{when.day:02}",
    "date": lambda when: f"{when.year:04}-{when.month:02}-{when.day:02}",
    "julian": lambda when: str(when.toordinal() - _MODIFIED_JULIAN_DAY_0),
    "hour": lambda when: f"{when.hour:02}",
    "minute": lambda when: f"{when.minute:02}",
    "second": lambda when: f"{when.second:02}",
    "time": lambda when: f"{when:%H:%M:%S}",
    "iso8601": _iso,
    "std11": _std11,
    "zone": _zone,
    "weekday": lambda when: str((when.weekday() + 1) % 7),
}
"""Parts of a date (RFC 5260 section 4.2)."""


@dataclass(frozen=True, slots=True)
class Zone:
    """The zone in which the parts are told: the place's, the one that the field names, or a given one."""

    given: Text | None = None
    original: bool = False

    def of(self, run: Run, minutes: int) -> tzinfo:
        """The zone, for a field that names one so many minutes east of UTC.  Raises RuntimeFault."""
        if self.original:
            return timezone(timedelta(minutes=minutes))
        if self.given is None:
            return run.state.zone
        written = self.given.get(run)
        offset = _offset(written)
        if offset is None:
            raise RuntimeFault(f'expected a zone such as "+0100", not "{written[:100]}"')
        return timezone(offset)


@dataclass(frozen=True, slots=True)
class DateValues:
    """`date`; behind the last semicolon of a field, as in Received."""

    fields: Fields
    zone: Zone
    part: str

    def of(self, run: Run) -> Sequence[str]:
        values: list[str] = []
        for header, name in self.fields.of(run):
            for value in self.fields.index.pick(header.values(name)):
                date = parse_zoned(value.rpartition(";")[2])
                if date is not None:
                    values += _part(date[0], self.zone.of(run, date[1]), self.part)
        return values


@dataclass(frozen=True, slots=True)
class CurrentDate:
    """`currentdate`."""

    zone: Zone
    part: str

    def of(self, run: Run) -> Sequence[str]:
        return _part(run.state.now, self.zone.of(run, 0), self.part)


def _part(seconds: float, zone: tzinfo, part: str) -> tuple[str, ...]:
    try:
        when = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(seconds))).astimezone(zone)
    except (OverflowError, ValueError):
        return ()  # a date at the end of the calendar that its zone moves beyond
    return (PARTS[part](when),)


def _offset(written: str) -> timedelta | None:
    match = _ZONE.fullmatch(written)
    if match is None or int(match[2]) > 23:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -offset if match[1] == "-" else offset


def _zone_of(call: Call) -> Zone:
    if not call.has("zone"):
        return Zone(original=call.has("originalzone"))
    given = call.text("zone")
    if given.constant is not None and _offset(given.constant) is None:
        raise call.error(f'expected a zone such as "+0100", not "{given.constant[:100]}"', "zone")
    return Zone(given)


def _part_name(call: Call) -> str:
    name = call.constant("part").lower()
    if name not in PARTS:
        raise call.error(f'expected a part of a date, not "{name[:100]}"', "part")
    return name


def _date(call: Call) -> Comparison:
    return comparison(call, DateValues(fields(call, "header"), _zone_of(call), _part_name(call)))


_PART, _KEYS = Positional("part", STRING), Positional("keys", STRINGS)
_ZONE_TAG = {"zone": TagRule(value=STRING, group="zone")}

TESTS = {
    "date": Rule(
        _date,
        "date",
        (Positional("header", STRING), _PART, _KEYS),
        MATCH_TAGS | INDEX_TAGS | _ZONE_TAG | {"originalzone": TagRule(group="zone")},
    ),
    "currentdate": Rule(
        lambda call: comparison(call, CurrentDate(_zone_of(call), _part_name(call))),
        "date",
        (_PART, _KEYS),
        MATCH_TAGS | _ZONE_TAG,
    ),
}
