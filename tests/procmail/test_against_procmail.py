"""The same recipes and messages by Debian's procmail and by ours: the same destination for each, octet by octet.

`corpus/` holds the recipes by subject: a line `=== NAME` begins one.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.procmail.sides import MESSAGE, Result, ours, real

CORPUS = Path(__file__).with_name("corpus")

FILES = {
    "args": '#!/bin/sh\nfor each in "$@"; do echo "<$each>"; done > args.out\ncat > /dev/null\n',
    "shell": '#!/bin/sh\nshift\necho "own: $*" > own.out\ncat > /dev/null\n',
    "inc": "FROM_INC=included COUNT=${COUNT}x\n",
    "outer": "INCLUDERC=inc\n",
    "deliver": ":0\ndelivered\n",
    "ended": "BEFORE=1\nSWITCHRC\nAFTER=2\n",
    "switching": "SWITCHRC=inc\nFROM_INC=not\n",
    "white": "s@example.org\nother@example.org\n",
}


def cases() -> Iterator[tuple[str, str]]:
    for path in sorted(CORPUS.glob("*.txt")):
        for case in path.read_text().split("=== ")[1:]:
            name, _, recipes = case.partition("\n")
            yield f"{path.stem}: {name}", recipes


CASES = list(cases())


def test_the_corpus_is_one() -> None:
    assert len(CASES) > 200
    assert len({name for name, _ in CASES}) == len(CASES)


ARGUMENTS = ("first", "second arg")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """What Debian's procmail did with each: all at once, as it sleeps a second with every mbox file."""
    place = tmp_path_factory.mktemp("real")

    def one(number: int) -> Result:
        return real(place / str(number), CASES[number][1], MESSAGE, FILES, ARGUMENTS)

    with ThreadPoolExecutor(48) as pool:
        results = list(pool.map(one, range(len(CASES))))
    return {name: result for (name, _), result in zip(CASES, results, strict=True)}


@pytest.mark.parametrize(("name", "recipes"), CASES, ids=[name for name, _ in CASES])
def test_same_destination(theirs: dict[str, Result], tmp_path: Path, name: str, recipes: str) -> None:
    own = ours(tmp_path / "ours", recipes, MESSAGE, FILES, ARGUMENTS)
    assert own.files == theirs[name].files, own.log + theirs[name].log
    assert own.code == theirs[name].code, own.log
