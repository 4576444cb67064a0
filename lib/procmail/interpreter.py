"""Carrying out recipes: which are executed, in which order, and where a mail ends up.

A mail is delivered when a recipe that delivers has succeeded, or at the end of the file, into DEFAULT, and where that
fails into ORGMAIL.  Blocks with `c` go on as a clone, one after the other: first the clone, to its own end.

Promises: STEP_LIMIT statements, CLONE_LIMIT clones, FILE_LIMIT files within each other; LimitReached beyond.
RecipeError where a further file has a mistake, or in an expression that came from variables.
Does not: touch a file or a program but by its `Carrier`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from pillarbox.lib.procmail.actions import Actions
from pillarbox.lib.procmail.carrier import Carrier, CarrierError
from pillarbox.lib.procmail.errors import LimitReached
from pillarbox.lib.procmail.evaluation import Evaluation
from pillarbox.lib.procmail.mail import Letter, Mail
from pillarbox.lib.procmail.parser import parse_rcfile
from pillarbox.lib.procmail.session import Session
from pillarbox.lib.procmail.syntax import Assignment, Block, RcFile, Recipe, Statement
from pillarbox.lib.procmail.variables import Overflow, Variables, number

STEP_LIMIT: Final = 20000
"""Statements that one message may cost; a file that includes itself for ever ends here or at FILE_LIMIT."""
CLONE_LIMIT: Final = 100
FILE_LIMIT: Final = 32
TEMPORARY_FAILURE: Final = 75
"""EX_TEMPFAIL: where nothing worked, the mail waits (procmail -t)."""

_CHANGES_NOTHING: Final = frozenset({"", "/dev/null"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it ended: an exit code as procmail's, and the last folder or program."""

    code: int
    folder: str


@dataclass(slots=True)
class _Frame:
    """A file or a block that is being carried out, and what became of the recipes before on its level."""

    statements: tuple[Statement, ...]
    file: str = ""
    """The file's name; "" for a block."""
    outer_file: str = ""
    index: int = 0
    matched: bool = False
    executed: bool = False


class _Delivered(Exception):
    """The mail has found its place."""


class _Ended(Exception):
    """HOST is another machine: nothing more is done."""


class Interpreter:
    """One message's way through a user's recipes.  `variables` are the presets."""

    def __init__(self, carrier: Carrier, variables: Variables, mail: Mail, directory: str) -> None:
        self._carrier = carrier
        self._session = Session(carrier, variables, mail, directory)
        self._frames: list[_Frame] = []
        self._succeeded = True
        """Whether the last action that was tried, on whatever level, went well."""
        self._counts = {"steps": 0, "clones": 0}

    def run(self, rcfile: RcFile) -> Verdict:
        """From the first line to the end.  Raises RecipeError; what is locked is free again."""
        self._push_file(rcfile)
        return self._to_the_end()

    def deliver(self) -> Verdict:
        """Without recipes: into the default mailbox."""
        return self._to_the_end()

    # --- the way

    def _to_the_end(self) -> Verdict:
        session = self._session
        try:
            code = 0
            try:
                self._walk()
                code = self._default()
            except _Delivered:
                pass
            except _Ended:
                return Verdict(0, "")
            session.note_delivery()
            return Verdict(self._exit_code(code), session.variables.get("LASTFOLDER"))
        finally:
            session.release_lock()

    def _walk(self) -> None:
        while self._frames:
            frame = self._frames[-1]
            if frame.index >= len(frame.statements):
                self._pop()
                continue
            statement = frame.statements[frame.index]
            frame.index += 1
            self._counts["steps"] += 1
            if self._counts["steps"] > STEP_LIMIT:
                raise LimitReached(self._session.variables.file, statement.line, f"at most {STEP_LIMIT} steps")
            if isinstance(statement, Assignment):
                self._assign(statement)
            else:
                self._recipe(statement, frame)

    def _pop(self) -> _Frame:
        frame = self._frames.pop()
        if frame.file:
            self._session.variables.file = frame.outer_file
        return frame

    def _push_file(self, rcfile: RcFile) -> None:
        outer = self._session.variables.file
        self._session.variables.file = rcfile.name
        self._frames.append(_Frame(rcfile.statements, rcfile.name, outer))

    def _default(self) -> int:
        """At the end of the file: DEFAULT, then ORGMAIL."""
        session = self._session
        variables = session.variables
        letter = Letter(session.mail)
        for name in ("DEFAULT", "ORGMAIL"):
            folder = variables.get(name)
            if not folder:
                continue
            lock = "" if folder.endswith("/") or folder == "/dev/null" else folder + variables.get("LOCKEXT")
            try:
                with session.locked(lock):
                    session.store([folder], letter)
                return 0
            except CarrierError as error:
                session.complain(str(error))
        return 0 if variables.true("DELIVERED") else TEMPORARY_FAILURE

    def _exit_code(self, code: int) -> int:
        """EXITCODE and TRAP."""
        session = self._session
        variables = session.variables
        wanted = variables.values.get("EXITCODE")
        if wanted and number(wanted, -1) >= 0:
            code = number(wanted, 0) & 0xFF
        trap = variables.get("TRAP")
        if trap:
            if wanted is None:
                variables.values["EXITCODE"] = str(code)
            try:
                ran = session.run(trap, Letter(session.mail).ended(), 0)
            except (CarrierError, Overflow) as error:
                session.complain(f"TRAP: {error}")
            else:
                if wanted == "":
                    code = ran.status & 0xFF
        return code

    # --- assignments

    def _assign(self, statement: Assignment) -> None:
        session = self._session
        name = statement.name
        if statement.value is None:
            if name in ("HOST", "SWITCHRC", "INCLUDERC"):
                self._special(statement, "")
            session.unset(name)
            return
        try:
            value = session.value(statement.value)
        except Overflow as error:
            self._exceeded(statement.line)
            value = error.text
        if name in ("INCLUDERC", "SWITCHRC", "HOST"):
            self._special(statement, value)
        else:
            session.assign(name, value)

    def _exceeded(self, line: int) -> None:
        """Note that something is longer than LINEBUF."""
        self._session.complain(f"Exceeded LINEBUF in line {line}")
        self._session.variables.values["PROCMAIL_OVERFLOW"] = "yes"

    def _special(self, statement: Assignment, value: str) -> None:
        """The names that say where to go on."""
        session = self._session
        session.assign(statement.name, value)
        if statement.name == "HOST":
            if value != self._carrier.host:
                session.complain(f'HOST mismatched "{value}"')
                raise _Ended
        elif statement.name == "INCLUDERC":
            rcfile = None if value in _CHANGES_NOTHING else self._read(value)
            if rcfile is not None:
                if sum(1 for frame in self._frames if frame.file) >= FILE_LIMIT:
                    file = session.variables.file
                    raise LimitReached(file, statement.line, f"at most {FILE_LIMIT} files within each other")
                self._push_file(rcfile)
        else:
            rcfile = None if value in _CHANGES_NOTHING else self._read(value)
            if rcfile is None and value not in _CHANGES_NOTHING:
                return
            while self._frames and not self._pop().file:
                pass
            if rcfile is not None:
                self._push_file(rcfile)

    def _read(self, path: str) -> RcFile | None:
        """A further file, None (and a line in the log) where it cannot be read."""
        session = self._session
        try:
            return parse_rcfile(self._carrier.read(path, session.place()), path)
        except CarrierError as error:
            session.complain(f'Couldn\'t read "{path}": {error}')
            return None

    # --- recipes

    def _recipe(self, recipe: Recipe, frame: _Frame) -> None:
        flags = recipe.flags
        if not _may_run(flags.chained, frame, self._succeeded):
            # What was executed before an else is no reason for the else after it.
            frame.executed = flags.chained == "E"
            if flags.chained in ("E", "e"):
                frame.matched = False
            self._session.variables.score = "0"
            return
        matched = Evaluation(self._session, recipe).holds()
        if flags.chained not in ("A", "a"):
            frame.matched = matched
        frame.executed = matched
        if not matched:
            # `$=` is that of the recipe that was read last, and what is passed over is read.
            if isinstance(recipe.action, Block) and any(isinstance(each, Recipe) for each in recipe.action.statements):
                self._session.variables.score = "0"
            return
        if isinstance(recipe.action, Block):
            self._succeeded = True
            block = _Frame(recipe.action.statements, matched=True, executed=True)
            if flags.copy:
                self._clone(block, recipe.line)
            else:
                self._frames.append(block)
            return
        try:
            delivers = Actions(self._session, recipe).carry_out()
        except CarrierError as error:
            self._succeeded = False
            if str(error):
                self._session.complain(str(error))
            return
        except Overflow:
            self._succeeded = False
            self._exceeded(recipe.line)
            return
        self._succeeded = True
        if delivers:
            raise _Delivered

    def _clone(self, block: _Frame, line: int) -> None:
        """Let a clone go into the block and on to the end; this one goes on behind it."""
        self._counts["clones"] += 1
        if self._counts["clones"] > CLONE_LIMIT:
            raise LimitReached(self._session.variables.file, line, f"at most {CLONE_LIMIT} copies by blocks")
        clone = Interpreter.__new__(Interpreter)
        clone._carrier = self._carrier
        clone._session = self._session.clone()
        clone._frames = [replace(frame) for frame in self._frames] + [block]
        clone._counts = self._counts
        clone._succeeded = self._succeeded
        clone._to_the_end()


def _may_run(chained: str, frame: _Frame, succeeded: bool) -> bool:
    match chained:
        case "A":
            return frame.matched
        case "a":
            return frame.matched and succeeded
        case "E":
            return not frame.executed
        case "e":
            return frame.executed and not succeeded
    return True
