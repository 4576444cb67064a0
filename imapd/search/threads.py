"""The shapes of threads: ORDEREDSUBJECT and REFERENCES (RFC 5256 section 3), REFS (draft-ietf-morg-inthread).

Messages come as `Letter`, in the order of their numbers; threads come out as trees of positions in that row.  All of it
is linear in the messages and their references, but for sorting, and nothing recurses: a thread may be as deep as the
mailbox is long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

DUMMY = -1
"""Stands for a message that is not there, above the threads that it joined."""


Text: TypeAlias = "str | bytes"
"""Texts are only compared with each other."""


class Letter(NamedTuple):
    """What the algorithms want to know of a message."""

    sent: float
    """Section 2.2: the Date: field, or INTERNALDATE where it says nothing."""
    subject: Text
    """The base subject, made comparable."""
    reply: bool
    identifier: Text
    """The Message-ID, empty for none."""
    references: Sequence[Text]
    """The Message-IDs of References:, or the first one of In-Reply-To:."""


class Node:
    """A message, or a dummy, and the answers to it."""

    __slots__ = ("children", "position")

    def __init__(self, position: int, children: list[Node] | None = None) -> None:
        self.position = position
        self.children = [] if children is None else children


def ordered_subject(letters: Sequence[Letter]) -> list[Node]:
    """By base subject: the first of each is the root, the others are its children, by date."""
    threads: dict[Text, Node] = {}
    for position in sorted(range(len(letters)), key=lambda position: letters[position].sent):
        root = threads.get(letters[position].subject)
        if root is None:
            threads[letters[position].subject] = Node(position)
        else:
            root.children.append(Node(position))
    return list(threads.values())


def references(letters: Sequence[Letter]) -> list[Node]:
    """By the references, then by base subject at the top."""
    roots = _linked(letters)
    dates = _Dates(letters)
    dates.sort(roots)
    roots = _joined_by_subject(letters, roots)
    dates.sort(roots)
    return roots


def refs(letters: Sequence[Letter]) -> list[Node]:
    """By the references alone; threads are in the order of what came last into each."""
    roots = _linked(letters)
    _Dates(letters).sort(roots)
    latest = {id(root): max(letters[node.position].sent for node in _all(root) if node.position >= 0) for root in roots}
    roots.sort(key=lambda root: latest[id(root)])
    return roots


ALGORITHMS: dict[bytes, Callable[[Sequence[Letter]], list[Node]]] = {
    b"ORDEREDSUBJECT": ordered_subject,
    b"REFERENCES": references,
    b"REFS": refs,
}


# --- steps 1 to 3: the links
class _Forest:
    """Links that never make a ring: the root of each tree is kept as in a union-find structure."""

    def __init__(self, size: int) -> None:
        self.parents = [DUMMY] * size
        self._above = list(range(size))  # towards the root, shortened on the way

    def add(self) -> int:
        self.parents.append(DUMMY)
        self._above.append(len(self._above))
        return len(self._above) - 1

    def _root(self, node: int) -> int:
        above = self._above
        root = node
        while above[root] != root:
            root = above[root]
        while above[node] != root:
            above[node], node = root, above[node]
        return root

    def link(self, parent: int, child: int) -> None:
        """Make one the parent of the other, which has none, unless that closes a ring."""
        if self._root(parent) != child:
            self.parents[child] = self._above[child] = parent


def _linked(letters: Sequence[Letter]) -> list[Node]:
    """The trees by references, those of messages that are not there left out where that is possible."""
    count = len(letters)
    forest = _Forest(count)
    numbers: dict[Text, int] = {}
    for position, letter in enumerate(letters):
        if letter.identifier:
            numbers.setdefault(letter.identifier, position)  # of two with the same the second has none

    def number(identifier: Text) -> int:
        found = numbers.get(identifier)
        if found is None:
            found = numbers[identifier] = forest.add()
        return found

    # Step 1.B first: what a message says of its own parent holds, whatever others say in passing (step 1.A).
    for position, letter in enumerate(letters):
        if letter.references and (parent := number(letter.references[-1])) != position:
            forest.link(parent, position)
    for position, letter in enumerate(letters):
        for above, below in zip(letter.references, letter.references[1:], strict=False):
            child = number(below)
            # A message that has not had its turn yet will break such a link.
            if forest.parents[child] == DUMMY and (child >= count or child < position):
                forest.link(number(above), child)
    return _pruned(forest.parents, count)


def _pruned(parents: list[int], count: int) -> list[Node]:
    """Step 3: each message hangs on the nearest one above that is there; a dummy stays where it joins several."""
    nearest: dict[int, int] = {}  # of a missing one: the message above it, or the topmost missing one
    nodes = [Node(position) for position in range(count)]
    roots: list[Node] = []
    below: dict[int, list[Node]] = {}  # what hangs on a topmost missing one
    for position in range(count):
        path = []
        above = parents[position]
        while above >= count and above not in nearest:
            path.append(above)
            if parents[above] == DUMMY:
                nearest[above] = above
                break
            above = parents[above]
        found = nearest[above] if above >= count else above
        for missing in path:
            nearest[missing] = found
        if found == DUMMY:
            roots.append(nodes[position])
        elif found < count:
            nodes[found].children.append(nodes[position])
        else:
            below.setdefault(found, []).append(nodes[position])
    roots += (children[0] if len(children) == 1 else Node(DUMMY, children) for children in below.values())
    return roots


# --- step 5: subjects
def _joined_by_subject(letters: Sequence[Letter], roots: list[Node]) -> list[Node]:
    def told(node: Node) -> Letter:
        return letters[node.position if node.position >= 0 else node.children[0].position]

    def is_reply(node: Node) -> bool:
        return node.position >= 0 and letters[node.position].reply

    table: dict[Text, Node] = {}
    for root in roots:
        subject = told(root).subject
        if not subject:
            continue
        known = table.get(subject)
        replaces = (
            known is not None
            and known.position >= 0
            and (root.position < 0 or (is_reply(known) and not is_reply(root)))
        )
        if known is None or replaces:
            table[subject] = root
    taken: set[int] = set()
    added: list[Node] = []
    for root in roots:
        subject = told(root).subject
        known = table.get(subject)
        if known is None or known is root:
            continue
        if known.position < 0:
            known.children += root.children if root.position < 0 else [root]
            taken.add(id(root))
        elif is_reply(root) and not is_reply(known):
            known.children.append(root)
            taken.add(id(root))
        else:
            taken |= {id(root), id(known)}
            table[subject] = Node(DUMMY, [known, root])
            added.append(table[subject])
    return [root for root in (*roots, *added) if id(root) not in taken]


# --- order
class _Dates:
    """Siblings in the order of their dates; a dummy has that of its first child (section 2.2, step 6)."""

    def __init__(self, letters: Sequence[Letter]) -> None:
        self._letters = letters

    def _key(self, node: Node) -> tuple[float, int]:
        position = node.position if node.position >= 0 else node.children[0].position
        return self._letters[position].sent, position

    def sort(self, roots: list[Node]) -> None:
        """Sort every level; only roots can be dummies, so their children come before them."""
        for root in roots:
            for node in _all(root):
                if len(node.children) > 1:
                    node.children.sort(key=self._key)
        roots.sort(key=self._key)


def _all(root: Node) -> Iterable[Node]:
    """Every node of a tree."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.children


# --- the answer
def format_threads(roots: Iterable[Node], numbers: Sequence[int]) -> bytes:
    """thread-list (RFC 5256 section 5): `(2)(3 6 (4 23)(44 7 96))`; `numbers` are those of the positions."""
    pieces: list[bytes] = []
    for root in roots:
        pieces.append(b"(")
        waiting: list[Node | bytes] = [root]
        while waiting:
            item = waiting.pop()
            if isinstance(item, bytes):
                pieces.append(item)
                continue
            if item.position >= 0:
                pieces.append(b"%d" % numbers[item.position])
            children = item.children
            if len(children) == 1:
                pieces.append(b" ")
                waiting.append(children[0])
            elif children:
                if item.position >= 0:
                    pieces.append(b" ")
                for child in reversed(children):
                    waiting += (b")", child, b"(")
        pieces.append(b")")
    return b"".join(pieces)
