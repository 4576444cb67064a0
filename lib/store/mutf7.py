"""Modified UTF-7 for mailbox names in file names (RFC 3501 section 5.1.3), as existing Maildir++ trees have them.

Decoding never fails: a name that is not valid stays as it is, so that every folder on disk can be listed.
"""

from __future__ import annotations

import codecs
import re
from base64 import b64decode, b64encode
from functools import lru_cache

_SHIFTED = re.compile(r"[^\x20-\x7e]+|&")
_ENCODED = re.compile(r"&([^-&]*)-")

# Loads the codec now: a process that is confined by the time of the first such name could not read its file any more.
_UTF_16 = codecs.lookup("utf-16-be").name


@lru_cache(maxsize=1024)
def encode(name: str) -> str:
    """The name in printable US-ASCII."""
    return _SHIFTED.sub(lambda match: _encode_run(match[0]), name)


def _encode_run(run: str) -> str:
    if run == "&":
        return "&-"
    text = b64encode(run.encode(_UTF_16, "surrogatepass")).decode("ascii").rstrip("=")
    return "&" + text.replace("/", ",") + "-"


@lru_cache(maxsize=1024)
def decode(name: str) -> str:
    """The Unicode name; `name` itself where it is not exactly what `encode` would have made."""
    if "&" not in name:
        return name
    try:
        decoded = _ENCODED.sub(lambda match: _decode_run(match[1]), name)
    except ValueError:
        return name
    return decoded if encode(decoded) == name else name


def _decode_run(run: str) -> str:
    if not run:
        return "&"
    text = run.replace(",", "/")
    return b64decode(text + "=" * (-len(text) % 4), validate=True).decode(_UTF_16)


def is_unicode(name: str) -> bool:
    """Whether a name can be had again from what is made of it: half a surrogate pair cannot."""
    return not any(0xD800 <= ord(each) <= 0xDFFF for each in name)
