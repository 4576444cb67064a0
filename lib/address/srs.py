"""The Sender Rewriting Scheme: a reverse-path of our own for mail that is sent on, which leads back to its sender.

    SRS0=HASH=TT=sender.example=ann@here.example             mail of ann@sender.example, sent on by here.example
    SRS1=HASH=first.example==HASH=TT=...@here.example        the same, where first.example has sent it on before

The form, and the hash, are those of Shevek's "The Sender Rewriting Scheme", libsrs2 and postsrsd, so that several mail
servers with one secret may take each other's mail back.  The hash is what keeps strangers from having mail relayed to
whom they like: without a key nobody makes an address that is taken; one is good for a number of days.

The hash is over the parts without what stands between them, as everywhere: it does not tell `ann@example.com` from
`mann@example.co`.

Promises: `reverse(forward(x))` is x, whatever the case of what stands before the sender's own name became on the way.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass

from pillarbox.lib.address.address import LOCAL_PART_LIMIT, quote_local, unquote_local
from pillarbox.lib.address.domain import same_domain
from pillarbox.lib.address.rewriting import split_written

DAY = 86400
DAYS = 1024
"""Two base32 digits count the days; then they begin anew."""
HASH_LENGTH = 4
"""Characters of a hash that we write, as in other implementations: 20 bits beside the need to be believed in time."""

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SRS = re.compile(r"SRS[01][-+=]", re.IGNORECASE)
_SRS0 = re.compile(r"SRS0[-+=]([^=]+)=([^=]{2})=([^=]+)=(.+)", re.IGNORECASE | re.DOTALL)
_SRS1 = re.compile(r"SRS1[-+=]([^=]+)=([^=]+)=([-+=].+)", re.IGNORECASE | re.DOTALL)


class SrsError(ValueError):
    """An address that leads back to nobody; the text says why, for whoever writes to it."""


@dataclass(frozen=True, slots=True)
class Srs:
    """One domain's scheme: the first of `keys` makes hashes, every one of them is believed.  `days`: how long."""

    domain: str
    keys: tuple[bytes, ...]
    days: int = 21

    def forward(self, sender: str, now: float) -> str | None:
        """The reverse-path for mail of `sender` that is sent on (seconds since the epoch).

        None: none that the way back would take, because it would be too long, or `sender` has no domain.
        """
        local, domain = split_written(sender)
        plain = unquote_local(local)
        if not domain or not plain:
            return None
        if match := _SRS1.fullmatch(plain):
            _, first, rest = match.groups()
            written = f"SRS1={self._hash(self.keys[0], first, rest)}={first}={rest}"
        elif _SRS0.fullmatch(plain):
            rest = plain[4:]
            written = f"SRS1={self._hash(self.keys[0], domain, rest)}={domain}={rest}"
        else:
            stamp = _stamp(now)
            written = f"SRS0={self._hash(self.keys[0], stamp, domain, plain)}={stamp}={domain}={plain}"
        written = quote_local(written)
        if len(written.encode("utf-8", "surrogatepass")) > LOCAL_PART_LIMIT:
            return None
        return f"{written}@{self.domain}"

    def concerns(self, address: str) -> bool:
        """Whether an address is one of this scheme, be it good or not."""
        local, domain = split_written(address)
        return bool(domain) and _SRS.match(unquote_local(local)) is not None and same_domain(domain or "", self.domain)

    def reverse(self, address: str, now: float) -> str:
        """Where mail to such an address goes.  Raises SrsError."""
        plain = unquote_local(split_written(address)[0])
        if match := _SRS0.fullmatch(plain):
            given, stamp, domain, local = match.groups()
            self._check(given, stamp, domain, local)
            if (_day(now) - _days_of(stamp)) % DAYS > self.days:
                raise SrsError("SRS address has expired")
            return f"{quote_local(local)}@{domain}"
        if match := _SRS1.fullmatch(plain):
            given, first, rest = match.groups()
            self._check(given, first, rest)
            return f"{quote_local('SRS0' + rest)}@{first}"
        raise SrsError("SRS address is incomplete")

    def _check(self, given: str, *parts: str) -> None:
        if len(given) < HASH_LENGTH or not any(
            hmac.compare_digest(
                given.lower().encode("utf-8", "surrogatepass"),
                self._hash(key, *parts, length=len(given)).lower().encode(),
            )
            for key in self.keys
        ):
            raise SrsError("SRS address has a wrong hash")

    def _hash(self, key: bytes, *parts: str, length: int = HASH_LENGTH) -> str:
        text = "".join(parts).lower().encode("utf-8", "surrogatepass")
        return base64.b64encode(hmac.digest(key, text, "sha1")).decode()[:length]


def _day(now: float) -> int:
    return int(now // DAY) % DAYS


def _stamp(now: float) -> str:
    day = _day(now)
    return _DIGITS[day >> 5] + _DIGITS[day & 31]


def _days_of(stamp: str) -> int:
    """Raises SrsError."""
    high, low = (_DIGITS.find(digit) for digit in stamp.upper())
    if high < 0 or low < 0:
        raise SrsError("SRS address has no time")
    return high << 5 | low
