"""The part trees that a session keeps: the last ones, and never too many parts."""

from __future__ import annotations

import pytest

from pillarbox.imapd.session import trees
from pillarbox.imapd.session.trees import MOST, MOST_PARTS, Trees
from pillarbox.lib.mime import Part, scan_message


def tree(parts: int) -> Part:
    return scan_message(
        [b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * parts + b"--b--\r\n"]
    )


def test_those_asked_for_last_are_kept() -> None:
    kept = Trees()
    for uid in range(1, MOST + 2):
        kept.add(uid, tree(1))
        assert kept.get(2) is not None or uid < 2
    assert kept.get(1) is None and kept.get(2) is not None and kept.get(MOST + 1) is not None
    kept.clear()
    assert kept.get(2) is None


@pytest.mark.parametrize("size", [40, 1000, MOST_PARTS + 1])
def test_parts_are_bounded_and_the_last_tree_is_there(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(trees, "MOST_PARTS", 2000)
    kept, large = Trees(), tree(size)
    for uid in range(1, 60):
        kept.add(uid, large)
        assert kept.get(uid) is large
    held = sum(kept.get(uid) is not None for uid in range(1, 60))
    assert held == max(1, 2000 // (size + 1))
    kept.add(60, tree(1))
    assert kept.get(60) is not None
