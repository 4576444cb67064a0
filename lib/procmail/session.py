"""What a message's recipes share: variables, the mail as filters leave it, locks, and the steps made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pillarbox.lib.procmail.carrier import Carrier, CarrierError, Place, Program, Ran
from pillarbox.lib.procmail.mail import Letter, Mail
from pillarbox.lib.procmail.syntax import Word
from pillarbox.lib.procmail.variables import Variables, absolute, is_true, number
from pillarbox.lib.procmail.words import WordError, read_words

DEFAULT_UMASK: Final = 0o077
DEFAULT_TIMEOUT: Final = 960
DEFAULT_LOCK_SLEEP: Final = 8
DEFAULT_LOCK_TIMEOUT: Final = 1024


class Session:
    """One message of one user; a clone has its own."""

    def __init__(self, carrier: Carrier, variables: Variables, mail: Mail, directory: str) -> None:
        self.carrier = carrier
        self.variables = variables
        self.mail = mail
        self.directory = directory
        self.umask = DEFAULT_UMASK
        self.verbose = False
        self._lock = ""
        variables.process = carrier.process

    def clone(self) -> Session:
        """The same for a clone: it inherits everything but the lock."""
        other = Session(self.carrier, self.variables.copy(), self.mail, self.directory)
        other.umask, other.verbose = self.umask, self.verbose
        return other

    def place(self) -> Place:
        """Where steps happen now."""
        return Place(self.directory, self.umask, self.variables.values, self.variables.get("LOGFILE"))

    # --- the log

    def complain(self, text: str) -> None:
        """Into the log: what went wrong."""
        self.carrier.log(f"procmail: {text}\n", self.place())

    def remark(self, text: str) -> None:
        """Into the log where VERBOSE is on."""
        if self.verbose:
            self.complain(text)

    def note_delivery(self) -> None:
        """The abstract of a delivery: who from, about what, where to, how large."""
        abstract = self.variables.get("LOGABSTRACT", "yes").strip().lower()
        if not (abstract.startswith("all") or is_true(abstract)):
            return
        folder = self.variables.get("LASTFOLDER").strip()
        lines = [self.mail.from_line.rstrip(b"\n"), self.mail.field(b"Subject")]
        text = lines[0].decode("latin-1") + "\n" if lines[0] else ""
        if lines[1]:
            text += " " + lines[1].decode("latin-1")[:78] + "\n"
        shown = f"  Folder: {folder[:60]}"
        tabs = "\t" * max(1, (73 - len(shown) + 7) // 8)
        self.carrier.log(f"{text}{shown}{tabs}{self.mail.size:7d}\n", self.place())

    # --- variables

    def value(self, word: Word) -> str:
        """A word as one text.  Raises Overflow."""
        return self.variables.value(word, self._output)

    def fields(self, words: Iterable[Word]) -> list[str]:
        """Words as a list of arguments.  Raises Overflow."""
        return [field for word in words for field in self.variables.expand(word, self._output)]

    def assign(self, name: str, value: str) -> None:
        """Set a variable, and do what it stands for.  Raises Overflow."""
        self.remark(f'Assigning "{name}={value}"')
        if name == "MAILDIR":
            try:
                self.directory = self.carrier.enter(absolute(value, self.directory), self.place())
            except CarrierError as error:
                self.complain(f'Couldn\'t chdir to "{value}": {error}')
                return
        elif name == "SHIFT":
            del self.variables.arguments[: max(0, number(value, 0))]
        elif name == "LOCKFILE":
            self.release_lock()
        self.variables.set(name, value)
        if name == "UMASK":
            self.umask = _octal(value)
        elif name == "VERBOSE":
            self.verbose = is_true(value)
        elif name == "LOG":
            self.carrier.log(value, self.place())
        elif name == "LOCKFILE" and value:
            path = absolute(value, self.directory)
            if self._acquire(path):
                self._lock = path

    def unset(self, name: str) -> None:
        """Remove a variable."""
        if name == "LOCKFILE":
            self.release_lock()
        elif name == "UMASK":
            self.umask = DEFAULT_UMASK
        elif name == "VERBOSE":
            self.verbose = False
        self.variables.values.pop(name, None)

    # --- locks

    def _acquire(self, path: str) -> bool:
        sleep = self.variables.number("LOCKSLEEP", DEFAULT_LOCK_SLEEP)
        stale = self.variables.number("LOCKTIMEOUT", DEFAULT_LOCK_TIMEOUT)
        try:
            self.carrier.lock(path, self.place(), sleep, stale)
        except CarrierError as error:
            self.complain(f'Lock failure on "{path}": {error}')
            return False
        return True

    def release_lock(self) -> None:
        """Remove the global lock file, if there is one of ours."""
        if self._lock:
            self.carrier.unlock(self._lock, self.place())
            self._lock = ""

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """With a local lock file; one that cannot be had is a line in the log, and delivery goes on without."""
        path = absolute(name, self.directory) if name else ""
        if path and path == self._lock:
            self.complain(f'Deadlock attempted on "{name}"')
            path = ""
        held = bool(path) and self._acquire(path)
        try:
            yield
        finally:
            if held:
                self.carrier.unlock(path, self.place())

    # --- programs and folders

    def program(self, command: str) -> Program:
        """A command as a program: by the shell where it has characters for one.  Raises CarrierError, Overflow."""
        variables = self.variables
        metas = variables.get("SHELLMETAS")
        timeout = float(max(0, variables.number("TIMEOUT", DEFAULT_TIMEOUT)))
        if any(character in metas for character in command):
            argv = [variables.get("SHELL") or "/bin/sh", *variables.get("SHELLFLAGS").split(), command]
        else:
            try:
                argv = self.fields(read_words(command, comments=True))
            except WordError as error:
                raise CarrierError(f'"{command.strip()}": {error} is expected') from None
        if not argv:
            raise CarrierError(f'no program in "{command.strip()}"')
        return Program(tuple(argv), timeout, command)

    def run(self, command: str, feed: Iterable[bytes], limit: int) -> Ran:
        """Run a command and remember its exit status.  Raises CarrierError, Overflow."""
        program = self.program(command)
        self.remark(f'Executing "{",".join(program.argv)}"')
        ran = self.carrier.run(program, feed, self.place(), limit)
        self.variables.status = ran.status if ran.status >= 0 else 128 - ran.status
        return ran

    def output(self, command: str, feed: Iterable[bytes]) -> str:
        """What a command prints, up to LINEBUF.  Raises CarrierError, Overflow."""
        ran = self.run(command, feed, self.variables.limit)
        if ran.overflow:
            self.complain(f'Excessive output quenched from "{command.strip()}"')
            self.variables.values["PROCMAIL_OVERFLOW"] = "yes"
        return ran.output.partition(b"\0")[0].decode("latin-1")

    def _output(self, command: str) -> str:
        try:
            return self.output(command, Letter(self.mail).ended()).rstrip("\n")
        except CarrierError as error:
            self.complain(str(error))
            self.variables.status = 127
            return ""

    def store(self, folders: Sequence[str], letter: Letter) -> None:
        """Deliver into folders and remember where.  Raises CarrierError."""
        paths = list(folders)
        if not paths or not paths[0]:
            raise CarrierError('Error while writing to ""')
        self.variables.values["LASTFOLDER"] = paths[0]
        self.variables.values["LASTFOLDER"] = self.carrier.store(paths, letter, self.place())
        if self.variables.get("LOGABSTRACT").strip().lower().startswith("all"):
            self.note_delivery()


def _octal(text: str) -> int:
    digits = ""
    for character in text.strip()[:6]:
        if character not in "01234567":
            break
        digits += character
    return int(digits, 8) & 0o777 if digits else 0
