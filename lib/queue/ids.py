"""Queue ids, in the form of Postfix's long ids: the time in microseconds and the inode number of the queue file.

    4jXFYl6dnjzKD6m = seconds in base 52 (6 digits or more), microseconds in base 52 (4 digits), "z", inode in base 51

An id is never used twice: the inode is in use by one file at a time, and the time tells its users apart.
It consists of digits and consonants, so that it can stand in file names, log lines and header fields as it is.
"""

from __future__ import annotations

import re

_DIGITS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_TIME_BASE = 52
_INODE_BASE = 51  # "z" separates the parts, so it is no digit of the inode
_MICROSECOND_DIGITS = 4
_SECOND_DIGITS = 6
_ID = re.compile(r"[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]{1,12}")
_PAIRS = tuple(high + low for high in _DIGITS for low in _DIGITS)

LONGEST_ID = 32


def _encode(number: int, base: int, width: int) -> str:
    digits = ""
    while number or len(digits) < width:
        number, digit = divmod(number, base)
        digits = _DIGITS[digit] + digits
    return digits


def _decode(digits: str, base: int) -> int:
    number = 0
    for digit in digits:
        number = number * base + _VALUES[digit]
    return number


_last_second = (-1, "")


def encode_id(microseconds: int, inode: int) -> str:
    """The queue id of a file with that inode, first used at that time (microseconds since the epoch)."""
    global _last_second
    seconds, fraction = divmod(microseconds, 1_000_000)
    if seconds != _last_second[0]:
        _last_second = (seconds, _encode(seconds, _TIME_BASE, _SECOND_DIGITS))
    high, low = divmod(fraction, _TIME_BASE * _TIME_BASE)
    return f"{_last_second[1]}{_PAIRS[high]}{_PAIRS[low]}z{_encode(inode, _INODE_BASE, 1)}"


def decode_id(queue_id: str) -> tuple[int, int]:
    """(microseconds since the epoch, inode).  Raises ValueError for what is no queue id."""
    if not is_queue_id(queue_id):
        raise ValueError(f'"{queue_id}" is not a queue id')
    time, _, inode = queue_id.rpartition("z")
    seconds = _decode(time[:-_MICROSECOND_DIGITS], _TIME_BASE)
    return seconds * 1_000_000 + _decode(time[-_MICROSECOND_DIGITS:], _TIME_BASE), _decode(inode, _INODE_BASE)


def is_queue_id(text: str) -> bool:
    """Whether `text` has the form of a queue id; only such text may become a file name in the queue."""
    return len(text) <= LONGEST_ID and _ID.fullmatch(text) is not None
