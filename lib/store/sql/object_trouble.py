"""What the answers of object storage mean that are no success, and which setting they speak of.

S3's servers say what is wrong as a code in a few lines of XML ("Error responses", "List of error codes").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,60})</Code>")
_NO_OBJECT: Final = ("NoSuchKey", "NotFound", "")
"""What a 404 says that is not about the bucket."""
_PASSING: Final = (500, 502, 503, 504)
"""What S3 gives now and then, and wants to be asked once more."""
_REFUSED: Final = (401, 403)
_SKEWED: Final = "RequestTimeTooSkewed"
_MEANING: Final = {
    "SignatureDoesNotMatch": "access key or secret in objectsfile are others than the storage has",
    "InvalidAccessKeyId": "the storage does not know the access key in objectsfile",
    "AccessDenied": "the access key in objectsfile may not do this",
    "AuthorizationHeaderMalformed": "objectsregion is another than the storage has",
    "PermanentRedirect": "objects: the bucket is at another host",
    "NoSuchBucket": "objects: there is no such bucket",
    "NoSuchKey": "a message is damaged: its object is gone",
    "XMinioStorageFull": "the storage is full",
    "QuotaExceeded": "the storage is full",
    "EntityTooLarge": "the storage does not take objects of a MiB",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What was said."""

    text: str
    """For the log and the client: printable ASCII, no secrets."""
    passing: bool = False
    """Whether to ask again at once."""
    refused: bool = False
    """Whether it is about who we are."""
    gone: bool = False
    """Whether the object, not the bucket, is not there."""


def trouble(status: int, date: str, body: bytes, now: float) -> Trouble:
    """The meaning of an answer with its `Date` field and the beginning of its body; `now` is our clock."""
    found = _CODE.search(body)
    code = found[1].decode() if found else ""
    meaning = _clocks(date, now) if code == _SKEWED else _MEANING.get(code, "")
    text = " ".join(filter(None, (str(status), code, f"({meaning})" if meaning else "")))
    return Trouble(text, status in _PASSING, status in _REFUSED, status == 404 and code in _NO_OBJECT)


def _clocks(date: str, now: float) -> str:
    from email.utils import parsedate_to_datetime  # much for what hardly ever happens

    try:
        ahead = round(now - parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError, OverflowError):
        return "our clock or that of the storage is wrong"
    return f"our clock is {abs(ahead)} seconds {'ahead of' if ahead > 0 else 'behind'} that of the storage"
