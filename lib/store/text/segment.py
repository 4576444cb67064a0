"""A piece of the index: some messages, their words, and which word is in which message.

Octets only, no files.  A message is two documents, its body (an even number) and its header (the odd one after it).
Promises: what is found is exactly what has a word with the pattern in it; `Builder.take` keeps what it is told to.
Wrong octets give wrong documents or ValueError, never more work than their length allows.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from pillarbox.lib.store.text.words import WORD_END, encode

MESSAGES: Final = 1024
"""Messages of one segment at most (two documents each, numbered in 16 bits)."""

POSTINGS: Final = 1 << 20
"""Pairs of word and document at which a segment is full."""

WORDS: Final = 1 << 16
"""Words at which a segment is full; some 20 MB while it is made."""

MATCHES: Final = 1024
"""Words with the pattern in them, beyond which looking on is not worth while: nearly every message has one."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Numbers are little-endian: `uids` and `ends` of 32 bits, `documents` of 16."""

    uids: bytes
    """The messages, by their number in the segment."""
    words: bytes
    """WORD_END, then each word with WORD_END behind it."""
    ends: bytes
    """For each word where its documents end in `documents`."""
    documents: bytes


def numbers(code: str, data: bytes) -> array[int]:
    """Stored octets as numbers: "I" or "H".  Raises ValueError where they do not come out even."""
    result = array(code)
    result.frombytes(data)
    if sys.byteorder == "big":
        result.byteswap()
    return result


def octets(code: str, values: Iterable[int]) -> bytes:
    """Numbers as they are stored."""
    result = array(code, values)
    if sys.byteorder == "big":
        result.byteswap()
    return result.tobytes()


class Builder:
    """Gathers messages for a segment."""

    def __init__(self) -> None:
        self.uids: list[int] = []
        self._documents: dict[bytes, array[int]] = {}
        self._postings = 0

    @property
    def full(self) -> bool:
        """Whether no more should come."""
        return len(self.uids) >= MESSAGES or self._postings >= POSTINGS or len(self._documents) >= WORDS

    def add(self, uid: int, body: Collection[str], header: Collection[str]) -> None:
        """Take a message's words in."""
        document = 2 * len(self.uids)
        self.uids.append(uid)
        for words in (body, header):
            self._postings += len(words)
            for word in map(encode, words):
                known = self._documents.get(word)
                if known is None:
                    self._documents[word] = array("H", (document,))
                else:
                    known.append(document)
            document += 1

    def take(self, segment: Segment, keep: Collection[int]) -> None:
        """Take in what a segment has of the messages with the UIDs `keep`.  Raises ValueError."""
        places = {}
        for place, uid in enumerate(numbers("I", segment.uids)):
            if uid in keep:
                places[2 * place] = 2 * len(self.uids)
                places[2 * place + 1] = 2 * len(self.uids) + 1
                self.uids.append(uid)
        documents = numbers("H", segment.documents)
        start = 0
        for word, end in zip(segment.words.split(WORD_END)[1:], numbers("I", segment.ends), strict=False):
            kept = [places[document] for document in documents[start:end] if document in places]
            start = end
            if kept:
                self._postings += len(kept)
                known = self._documents.get(word)
                if known is None:
                    self._documents[word] = array("H", kept)
                else:
                    known.extend(kept)

    def segment(self) -> Segment:
        """What was gathered."""
        ends = []
        end = 0
        documents = array("H")
        for known in self._documents.values():
            end += len(known)
            ends.append(end)
            documents.extend(known)
        words = WORD_END + b"".join([word + WORD_END for word in self._documents])
        return Segment(octets("I", self.uids), words, octets("I", ends), octets("H", documents))


def matching(words: bytes, pattern: bytes) -> list[int] | None:
    """The numbers of the words that have the pattern in them (WORD_END in it means an end of the word), ascending.

    None for more than MATCHES.
    """
    found: list[int] = []
    inside = len(pattern) - len(pattern.lstrip(WORD_END))
    number = 0  # of the word at `counted`
    counted = 1
    position = words.find(pattern)
    while position >= 0:
        start = position + inside
        number += words.count(WORD_END, counted, start)
        counted = start
        found.append(number)
        if len(found) > MATCHES:
            return None
        end = words.find(WORD_END, start)
        if end < 0:
            raise ValueError("the list of words has no end")
        position = words.find(pattern, end)
    return found


class Sliced(Protocol):
    """Octets of which any part can be had."""

    def __getitem__(self, part: slice, /) -> bytes:
        """The octets of a slice without step."""


def documents_of(found: Iterable[int], ends: bytes, documents: Sliced) -> set[int]:
    """The documents that have one of these words.  Raises ValueError where there are no such words."""
    bounds = numbers("I", ends)
    result: set[int] = set()
    for number in found:
        if number >= len(bounds):
            raise ValueError("a word without documents")
        start = bounds[number - 1] if number else 0
        result.update(numbers("H", documents[2 * start : 2 * bounds[number]]))
    return result
