"""The base subject of a message (RFC 5256 section 2.1): what is left of `Re: [list] Lunch (fwd)` is `Lunch`.

The time is linear in the length of the subject, whatever stands there.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pillarbox.lib.message.encoded_words import decode_words

_BLANKS = re.compile(r"[ \t\r\n]+")
# subj-blob = "[" *BLOBCHAR "]" *WSP
_BLOBS = re.compile(r"(?:\[[^\[\]]*\] *)*")
_BLOB = re.compile(r"\[[^\[\]]*\] *")
# subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
_REFWD = re.compile(r"(?:re|fwd?) *(?:\[[^\[\]]*\] *)?:", re.IGNORECASE)
_FORWARD_BEGIN, _FORWARD_END, _TRAILER = "[fwd:", "]", "(fwd)"


class Subject(NamedTuple):
    """A base subject, not yet prepared for comparison."""

    base: str
    reply: bool
    """The subject is that of an answer or of something forwarded."""


def base_subject(value: bytes) -> Subject:
    """Of an unfolded Subject: value."""
    text = _BLANKS.sub(" ", decode_words(value))
    start, end, reply = 0, len(text), False
    while True:
        end, trailed = _without_trailers(text, start, end)
        start, led = _without_leaders(text, start, end)
        reply = reply or trailed or led
        if not (text[start : start + 5].lower() == _FORWARD_BEGIN and text.endswith(_FORWARD_END, start + 5, end)):
            return Subject(text[start:end], reply)
        start, end, reply = start + len(_FORWARD_BEGIN), end - 1, True


def _without_trailers(text: str, start: int, end: int) -> tuple[int, bool]:
    """Where the text ends without subj-trailer = "(fwd)" / WSP, and whether a (fwd) was there."""
    forwarded = False
    while end > start:
        if text[end - 1] == " ":
            end -= 1
        elif text[max(start, end - 5) : end].lower() == _TRAILER:
            end -= 5
            forwarded = True
        else:
            break
    return end, forwarded


def _without_leaders(text: str, start: int, end: int) -> tuple[int, bool]:
    """Where the text begins without subj-leader = (*subj-blob subj-refwd) / WSP, and blobs before something else."""
    reply = False
    while True:
        while start < end and text[start] == " ":
            start += 1
        blobs = _BLOBS.match(text, start, end)
        after = blobs.end() if blobs is not None else start
        refwd = _REFWD.match(text, after, end)
        if refwd is not None:
            start, reply = refwd.end(), True
            continue
        while start < after and (blob := _BLOB.match(text, start, end)) is not None and blob.end() < end:
            start = blob.end()  # what is left is not empty
        return start, reply
