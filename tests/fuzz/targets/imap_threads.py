"""Base subjects, message identifiers and threads of messages that a stranger has written."""

from __future__ import annotations

from pillarbox.imapd.fetch.header_fields import short_header
from pillarbox.imapd.search.collation import casemap
from pillarbox.imapd.search.subject import base_subject
from pillarbox.imapd.search.summary import summarize
from pillarbox.imapd.search.threads import ALGORITHMS, Letter, format_threads
from pillarbox.lib.message.references import first_id, references


def fuzz(data: bytes) -> None:
    """Each message is in the answer once; what is kept of a header has a line for each thing that is compared."""
    sent, reply, _, *identifiers = summarize(short_header(data)).split(b"\n")
    assert not sent or isinstance(int(sent), int)
    assert reply in (b"", b"1")
    assert not any(b"<" in each for each in identifiers)
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
