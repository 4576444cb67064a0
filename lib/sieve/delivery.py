"""Actions of the base language, and what extensions add to them (RFC 5228 section 4; RFC 3894, 5232, 5490, 8579,
5429)."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.sieve.actions import Discard, FileInto, Keep, Redirect, Reject
from pillarbox.lib.sieve.address_parts import address_of
from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.errors import RuntimeFault
from pillarbox.lib.sieve.flags import split_flags
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import STRING, STRINGS, Positional, Rule, TagRule
from pillarbox.lib.sieve.text import Text, Texts


@dataclass(frozen=True, slots=True)
class KeepCommand:
    """`keep`."""

    line: int
    flags: Texts | None

    def act(self, run: Run) -> None:
        run.add(Keep(_flags(run, self.flags), header=run.header.block()))
        run.cancelled = True


@dataclass(frozen=True, slots=True)
class FileIntoCommand:
    """`fileinto`."""

    line: int
    mailbox: Text
    flags: Texts | None
    copy: bool
    create: bool
    special_use: Text

    def act(self, run: Run) -> None:
        mailbox = self.mailbox.get(run)
        if not is_mailbox(mailbox):
            raise RuntimeFault(f'expected the name of a mailbox, not "{mailbox[:100]}"')
        special = self.special_use.get(run)
        flags, header = _flags(run, self.flags), run.header.block()
        run.add(FileInto(mailbox, flags, self.copy, self.create, special, header))
        run.cancelled |= not self.copy


@dataclass(frozen=True, slots=True)
class RedirectCommand:
    """`redirect`."""

    line: int
    address: Text
    copy: bool

    def act(self, run: Run) -> None:
        written = self.address.get(run)
        address = address_of(written)
        if address is None:
            raise RuntimeFault(f'expected an address to redirect to, not "{written[:100]}"')
        run.add(Redirect(address, self.copy, run.header.block()))
        run.cancelled |= not self.copy


@dataclass(frozen=True, slots=True)
class DiscardCommand:
    """`discard`."""

    line: int

    def act(self, run: Run) -> None:
        run.add(Discard())
        run.cancelled = True


@dataclass(frozen=True, slots=True)
class RejectCommand:
    """`reject` and `ereject`."""

    line: int
    text: Text
    extended: bool

    def act(self, run: Run) -> None:
        run.add(Reject(self.text.get(run), self.extended))
        run.cancelled = True


def is_mailbox(name: str) -> bool:
    """Whether a mailbox may be called so: a text without control characters."""
    return 0 < len(name) <= 1024 and not any(character < " " or character == "\x7f" for character in name)


def _flags(run: Run, given: Texts | None) -> tuple[str, ...]:
    """Those of the action itself, else those of the internal variable (RFC 5232 section 5)."""
    return run.flags if given is None else split_flags(given.get(run))


def _given_flags(call: Call) -> Texts | None:
    return call.texts("flags") if call.has("flags") else None


def _fileinto(call: Call) -> FileIntoCommand:
    mailbox, special = call.text("mailbox"), call.text("specialuse")
    if mailbox.constant is not None and not is_mailbox(mailbox.constant):
        raise call.error("expected the name of a mailbox", "mailbox")
    if special.constant and not special.constant.startswith("\\"):
        raise call.error('expected an attribute such as "\\\\Junk"', "specialuse")
    return FileIntoCommand(call.line, mailbox, _given_flags(call), call.has("copy"), call.has("create"), special)


def _redirect(call: Call) -> RedirectCommand:
    address = call.text("address")
    if address.constant is not None and address_of(address.constant) is None:
        raise call.error(f'expected an address with domain, not "{address.constant[:100]}"', "address")
    return RedirectCommand(call.line, address, call.has("copy"))


_COPY = {"copy": TagRule("copy")}
_FLAGS = {"flags": TagRule("imap4flags", STRINGS)}
_REASON = (Positional("reason", STRING),)

COMMANDS = {
    "keep": Rule(lambda call: KeepCommand(call.line, _given_flags(call)), tags=_FLAGS),
    "fileinto": Rule(
        _fileinto,
        "fileinto",
        (Positional("mailbox", STRING),),
        tags=_COPY | _FLAGS | {"create": TagRule("mailbox"), "specialuse": TagRule("special-use", STRING)},
    ),
    "redirect": Rule(_redirect, positional=(Positional("address", STRING),), tags=_COPY),
    "discard": Rule(lambda call: DiscardCommand(call.line)),
    "reject": Rule(lambda call: RejectCommand(call.line, call.text("reason"), False), "reject", _REASON),
    "ereject": Rule(lambda call: RejectCommand(call.line, call.text("reason"), True), "ereject", _REASON),
}
