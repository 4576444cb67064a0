"""The full-text index: texts cut in any way, needles out of them, and segments with wrong octets."""

from __future__ import annotations

from pillarbox.lib.store.text.fold import Needle, fold, fold_pieces
from pillarbox.lib.store.text.segment import Builder, Segment, documents_of, matching
from pillarbox.lib.store.text.words import WordSet, patterns


def fuzz(data: bytes) -> None:
    """What occurs in a text is found by its words; damage is an error or a wrong answer, nothing else."""
    step = 1 + (data[0] if data else 0) % 16
    text = data.decode("utf-8", "replace")
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    assert "".join(fold_pieces(pieces)) == fold(text) or len(text) > 1000
    words = WordSet(100_000)
    words.add(fold_pieces(pieces))
    builder = Builder()
    builder.add(1, words.words, ())
    segment = builder.segment()
    needle = text[len(text) // 3 : len(text) // 2]
    if Needle(needle).is_in_pieces(pieces):
        for pattern in patterns(fold(needle)):
            found = matching(segment.words, pattern)
            assert found is None or documents_of(found, segment.ends, segment.documents) == {0}
    for pattern in patterns(fold(text[:4])):
        try:
            documents_of(matching(data, pattern) or (), data[: len(data) & ~3], data)
            Builder().take(Segment(data[: len(data) & ~3], data, data[: len(data) & ~3], data[: len(data) & ~1]), {1})
        except (ValueError, KeyError):
            pass
