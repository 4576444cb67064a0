"""Base subjects, message identifiers and threads of messages that a stranger has written."""

from __future__ import annotations

from pillarbox.imapd.search.collation import casemap
from pillarbox.imapd.search.subject import base_subject
from pillarbox.imapd.search.threads import ALGORITHMS, Letter, format_threads
from pillarbox.lib.message.references import first_id, references


def fuzz(data: bytes) -> None:
    """Each message is in the answer once."""
    letters = []
    for number, line in enumerate(data.split(b"\n")[:200]):
        identifier, _, rest = line.partition(b" ")
        base = base_subject(rest)
        named = references(rest, identifier)
        letters.append(Letter(number % 7, casemap(base.base), base.reply, first_id(b"<%b>" % identifier), named))
    for algorithm in ALGORITHMS.values():
        answer = format_threads(algorithm(letters), range(1, len(letters) + 1))
        numbers = answer.replace(b"(", b" ").replace(b")", b" ").split()
        assert sorted(map(int, numbers)) == list(range(1, len(letters) + 1))
