"""The action of a recipe that has matched: folders, programs, filters, addresses."""

from __future__ import annotations

import re

from pillarbox.lib.procmail.carrier import CarrierError, Program, Ran
from pillarbox.lib.procmail.mail import Letter
from pillarbox.lib.procmail.session import DEFAULT_TIMEOUT, Session
from pillarbox.lib.procmail.syntax import Forward, Mailbox, Pipe, Recipe, Word
from pillarbox.lib.procmail.words import WordError, read_words

_APPENDED = re.compile(r">>[ \t]*([^ \t;&|<>()]+)")
"""The file that a command appends to: its lock is the recipe's where none is named."""


class Actions:
    """One recipe's action."""

    def __init__(self, session: Session, recipe: Recipe) -> None:
        self._session = session
        self._recipe = recipe

    def carry_out(self) -> bool:
        """Do it; whether the mail is delivered with it.  Raises CarrierError where it failed, Overflow."""
        action, flags = self._recipe.action, self._recipe.flags
        if isinstance(action, Mailbox):
            self._mailbox(action)
        elif isinstance(action, Forward):
            self._forward(action)
        else:
            assert isinstance(action, Pipe)
            return self._pipe(action) and not flags.copy
        return not flags.copy

    def _letter(self) -> Letter:
        flags = self._recipe.flags
        return Letter(self._session.mail, flags.feed_header, flags.feed_body, flags.raw)

    def _lock_name(self, implicit: str) -> str:
        """The local lock file: as named, or the destination's name and LOCKEXT."""
        lock = self._recipe.lock
        if lock is None:
            return ""
        if lock:
            return self._session.value(lock)
        return implicit + self._session.variables.get("LOCKEXT")

    # --- the kinds

    def _mailbox(self, action: Mailbox) -> None:
        session = self._session
        folders = session.fields(action.words)
        name = folders[0] if folders else ""
        implicit = "" if name.endswith("/") or name == "/dev/null" or self._is_directory(name) else name
        lock = self._lock_name(implicit)
        if not implicit and not self._recipe.lock:
            lock = ""  # a message is a file of its own there
        with session.locked(lock):
            try:
                session.store(folders, self._letter())
            except CarrierError:
                if not self._recipe.flags.ignore_errors:
                    raise

    def _is_directory(self, name: str) -> bool:
        return name.endswith("/.") or self._session.carrier.is_directory(name, self._session.place())

    def _forward(self, action: Forward) -> None:
        session, flags = self._session, self._recipe.flags
        variables = session.variables
        options = session.fields(_words(variables.get("SENDMAILFLAGS")))
        argv = (variables.get("SENDMAIL"), *options, *session.fields(action.words))
        shown = " ".join(argv[1 + len(options) :])
        program = Program(argv, float(max(0, variables.number("TIMEOUT", DEFAULT_TIMEOUT))), shown)
        with session.locked(self._lock_name("")):
            variables.values["LASTFOLDER"] = " ".join(argv)
            ran = session.carrier.run(program, self._letter().ended(from_line=False), session.place(), 0)
            variables.status = ran.status
            self._judge(ran, shown, checked=flags.wait)

    def _pipe(self, action: Pipe) -> bool:
        """Run the command; false where it filters or its output is caught."""
        session, flags = self._session, self._recipe.flags
        found = _APPENDED.search(action.command)
        with session.locked(self._lock_name(session.value(_words(found[1])[0]) if found else "")):
            if flags.filtering:
                self._filter(action)
                return False
            if action.variable:
                self._capture(action)
                return False
            command = action.command
            session.variables.values["LASTFOLDER"] = command
            ran = session.run(command, self._letter().ended(), 0)
            self._judge(ran, command, checked=flags.wait)
            return True

    def _judge(self, ran: Ran, shown: str, *, checked: bool) -> None:
        """Raises CarrierError where the program's end counts and was none in good order."""
        flags = self._recipe.flags
        if checked and ran.status:
            text = f'Program failure ({ran.status}) of "{shown}"'
            if flags.quiet:
                self._session.remark(text)
                text = ""
            raise CarrierError(text)
        if not ran.fed and not flags.ignore_errors:
            raise CarrierError(f'Error while writing to "{shown}"')

    def _filter(self, action: Pipe) -> None:
        session, flags = self._session, self._recipe.flags
        program = session.program(action.command)
        session.remark(f'Executing "{",".join(program.argv)}"')
        mail = session.mail
        before = mail.part(not flags.feed_header, False)
        behind = mail.part(False, not flags.feed_body)
        ran, output = session.carrier.filter(program, before, self._letter().ended(), behind, session.place())
        session.variables.status = ran.status if ran.status >= 0 else 128 - ran.status
        self._judge(ran, action.command, checked=flags.wait)
        session.mail = output

    def _capture(self, action: Pipe) -> None:
        session, flags = self._session, self._recipe.flags
        ran = session.run(action.command, self._letter().ended(), session.variables.limit)
        self._judge(ran, action.command, checked=flags.wait)
        if ran.overflow:
            session.complain(f'Excessive output quenched from "{action.command.strip()}"')
            session.variables.values["PROCMAIL_OVERFLOW"] = "yes"
        output = ran.output.partition(b"\0")[0].decode("latin-1")
        session.assign(action.variable, output[:-1] if output.endswith("\n") else output)


def _words(text: str) -> tuple[Word, ...]:
    try:
        return read_words(text)
    except WordError as error:
        raise CarrierError(f'"{text}": {error} is expected') from None
