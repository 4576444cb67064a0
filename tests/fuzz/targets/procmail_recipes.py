"""procmail recipes, carried out with hands that do nothing, and their expressions on a message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pillarbox.lib.procmail import Interpreter, Mail, RecipeError, parse_rcfile
from pillarbox.lib.procmail.carrier import CarrierError, Place, Program, Ran
from pillarbox.lib.procmail.mail import Letter
from pillarbox.lib.procmail.variables import Variables, presets

_MAIL = Mail(b"From a@b  Thu\nSubject: fuzz\n more\nTo: x@y\n\n", lambda: [b"a body\n", b"From b\n"], 14)


class _Idle:
    """Everything succeeds, or fails where its name says so."""

    host = "host"
    process = 1

    def run(self, program: Program, feed: Iterable[bytes], place: Place, limit: int) -> Ran:
        if "x" in program.shown:
            raise CarrierError("not run")
        return Ran(len(program.argv) - 1, b"out\n"[:limit])

    def filter(
        self,
        program: Program,
        before: Iterable[bytes],
        feed: Iterable[bytes],
        behind: Iterable[bytes],
        place: Place,
    ) -> tuple[Ran, Mail]:
        return self.run(program, feed, place, 0), _MAIL

    def store(self, folders: Sequence[str], letter: Letter, place: Place) -> str:
        if "x" in folders[0]:
            raise CarrierError("not stored")
        b"".join(letter.quoted())
        return folders[0]

    def is_directory(self, path: str, place: Place) -> bool:
        return path.endswith("d")

    def enter(self, path: str, place: Place) -> str:
        return path

    def read(self, path: str, place: Place) -> str:
        return ":0\nbox\n"

    def lock(self, path: str, place: Place, sleep: float, stale: float) -> None:
        if "x" in path:
            raise CarrierError("not locked")

    def unlock(self, path: str, place: Place) -> None:
        pass

    def log(self, text: str, place: Place) -> None:
        pass


def fuzz(data: bytes) -> None:
    """A mistake is a RecipeError with a line of the file; all else ends, delivered or not."""
    text = data[:4000].decode("latin-1")
    try:
        rcfile = parse_rcfile(text, "rc")
        verdict = Interpreter(_Idle(), Variables(presets("u", "/h", "", "/inbox", "host")), _MAIL, "/h").run(rcfile)
    except RecipeError as error:
        assert error.expected
        assert error.name != "rc" or 1 <= error.line <= text.count("\n") + 1
    else:
        assert 0 <= verdict.code < 256
