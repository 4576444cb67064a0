"""A user's mail filter as a delivery agent sees it: a message in, a `Plan` out, or None where the user has no script.

What the scripts say is brought into line with the world here: a folder that does not exist, a loop, a sender who may
not be answered, what an earlier attempt has done already.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from pillarbox.lib.address import AddressSyntaxError, parse_mailbox
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import sieve as parameters
from pillarbox.lib.config.parameters.general import MYHOSTNAME
from pillarbox.lib.config.parameters.imapd import IMAP_SPECIAL_USE
from pillarbox.lib.delivery.delivered import delivered_to, has_visited
from pillarbox.lib.message.header import first_value
from pillarbox.lib.message.message_id import make_message_id
from pillarbox.lib.sieve.actions import FileInto, Keep, Notify, Redirect, Reject, Vacation
from pillarbox.lib.sieve.mailto import parse_mailto
from pillarbox.lib.sieve_box.folders import Folders, special_use_of
from pillarbox.lib.sieve_box.plan import INBOX, Memory, Outgoing, Plan, Put
from pillarbox.lib.sieve_box.remembered import Remembered
from pillarbox.lib.sieve_box.replies import Letterhead, error_notice, notification, vacation_reply
from pillarbox.lib.sieve_box.running import Incoming, Owner, Ran, Runner, Scripts, first_mark
from pillarbox.lib.sieve_box.vacation import period, response_key, why_not

DAY: Final = 86400.0
ATTEMPTS_LAST: Final = 30 * DAY
"""For how long it is remembered what an attempt has done: longer than any message waits."""
_REJECTION_LIMIT: Final = 1000
"""Characters of a refusal that its sender is shown."""


class Filter:
    """The filters of all users; one per process.  `clock` gives seconds since the epoch."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock
        self._scripts = Scripts(config)
        self._runner = Runner(config, clock)
        self._host = config[MYHOSTNAME]
        self._redirect_sender = config[parameters.SIEVE_REDIRECT_ENVELOPE_FROM]
        self._create = config[parameters.LDA_MAILBOX_AUTOCREATE]
        self._special_use = special_use_of(config[IMAP_SPECIAL_USE])

    def wanted(self, owner: Owner) -> bool:
        """Whether there is a script to run: a quick look, without reading any."""
        return self._scripts.any(owner)

    def plan(self, owner: Owner, incoming: Incoming, folders: Folders) -> Plan | None:
        """What to do with the message; None: no script has anything to say.

        Raises DeliveryFailure for a script of the site that cannot be used; OSError, EOFError for a message that cannot
        be read.
        """
        scripts = self._scripts.of(owner)
        if not scripts:
            return None
        memory = self.memory(owner)
        ran = self._runner.run(owner, scripts, incoming, folders, memory)
        return _Planner(self, incoming, folders, memory, ran).plan()

    def memory(self, owner: Owner) -> Remembered:
        """What the filter of a user remembers."""
        return Remembered(self._scripts.place(parameters.SIEVE_REMEMBERED.name, owner), self._clock())

    def done(self, owner: Owner, plan: Plan, unsent: Incoming | None = None) -> str:
        """All has been carried out: remember what is to be remembered.  Gives what went wrong with that, or "".

        `unsent`: but for the redirects of this message, which others are to send.  Where they cannot it comes again,
        and must not find itself to be a duplicate.
        """
        wanted = plan.remember
        if unsent is not None and wanted:
            memory = self.memory(owner)
            new = [item.value for item in wanted if not memory.knows(item.kind, item.value)]
            wanted = [Memory("first", first_mark(unsent, value), ATTEMPTS_LAST) for value in new] + wanted
        return self._note(owner, wanted)

    def undone(self, owner: Owner, incoming: Incoming, puts: list[Put], redirects: list[Outgoing]) -> str:
        """Only this has been carried out, and the message will come again: do not do it twice."""
        done = [put_mark(incoming, put) for put in puts]
        done += [redirect_mark(incoming, address) for one in redirects for address in one.recipients]
        return self._note(owner, [Memory("done", value, ATTEMPTS_LAST) for value in done])

    def note(self, owner: Owner, memory: Memory | None) -> str:
        """Remember one thing.  Gives what went wrong with that, or ""."""
        return self._note(owner, [memory] if memory is not None else [])

    def forget(self, owner: Owner, memory: Memory | None) -> str:
        """The opposite."""
        return self.note(owner, replace(memory, lifetime=0.0) if memory is not None else None)

    def _note(self, owner: Owner, wanted: list[Memory]) -> str:
        if not wanted:
            return ""
        memory = self.memory(owner)
        for item in wanted:
            memory.note(item.kind, item.value, item.lifetime)
        return memory.trouble

    # --- what the planner asks

    def redirect_sender(self, incoming: Incoming) -> str:
        """The envelope sender of redirected mail."""
        if not incoming.sender:
            return ""
        how = self._redirect_sender
        if how == "recipient":
            return incoming.recipient
        if how == "orig_recipient":
            return incoming.original or incoming.recipient
        return how[1:-1] if how.startswith("<") and how.endswith(">") else incoming.sender

    def letterhead(self, incoming: Incoming, number: int, from_: str) -> Letterhead:
        """For the reply with this number: an attempt that is repeated gives the same identifier."""
        now = self._clock()
        return Letterhead(now, make_message_id(f"{incoming.queue_id}.sieve{number}", self._host, now), from_)

    def folder(self, action: FileInto, folders: Folders) -> Put | str:
        """Where fileinto goes, or why it cannot."""
        for name in self._special_use.get(action.special_use.lower(), ()) if action.special_use else ():
            if folders.exists(name):
                return Put(name, action.flags, False, action.header)
        name = action.mailbox
        if name.upper() == "INBOX":
            return Put(INBOX, action.flags, False, action.header)
        if not folders.possible(name):
            return f'no mailbox can be called "{name}"'
        if folders.exists(name):
            return Put(name, action.flags, False, action.header)
        if action.create or self._create:
            return Put(name, action.flags, True, action.header)
        return f'there is no mailbox "{name}"'

    def vacation_period(self, seconds: float) -> float:
        """Within the site's limits."""
        config = self._config
        return period(
            seconds,
            least=config[parameters.SIEVE_VACATION_MIN_PERIOD],
            most=config[parameters.SIEVE_VACATION_MAX_PERIOD],
        )

    @property
    def checks_recipient(self) -> bool:
        """Whether vacation wants the user named in the header."""
        return not self._config[parameters.SIEVE_VACATION_DONT_CHECK_RECIPIENT]

    def duplicate_period(self, seconds: float) -> float:
        """Within the site's limit."""
        return min(seconds, self._config[parameters.SIEVE_DUPLICATE_MAX_PERIOD])

    @property
    def tells(self) -> bool:
        """Whether users are told of errors."""
        return self._config[parameters.SIEVE_ERROR_NOTICE]


class _Planner:
    """Makes the plan for one message."""

    def __init__(self, filter_: Filter, incoming: Incoming, folders: Folders, memory: Remembered, ran: Ran) -> None:
        self._filter = filter_
        self._incoming = incoming
        self._folders = folders
        self._memory = memory
        self._ran = ran
        self._plan = Plan()
        self._own = {incoming.recipient.lower(), (incoming.original or incoming.recipient).lower()}
        self._visited = delivered_to(ran.header)

    def plan(self) -> Plan:
        plan = self._plan
        for action in self._ran.actions:
            if isinstance(action, Keep):
                plan.put(self._inbox(action.flags, action.header))
            elif isinstance(action, FileInto):
                self._file_into(action)
            elif isinstance(action, Redirect):
                self._redirect(action)
            elif isinstance(action, Reject):
                plan.rejection = " ".join(action.text.split())[:_REJECTION_LIMIT] or "message refused"
            elif isinstance(action, Vacation):
                self._vacation(action)
            elif isinstance(action, Notify):
                self._notify(action)
        if self._ran.error:
            self._error(self._ran.error)
        plan.remember += [
            Memory("duplicate", item.identification, self._filter.duplicate_period(item.seconds))
            for item in self._ran.remember
        ]
        if len(plan.puts) + len(plan.redirects) > 1:
            self._leave_out_what_is_done()
        if plan.redirects:
            self._mark_replies()
        return plan

    def _mark_replies(self) -> None:
        """Where sending on may have to be repeated, a notification is not."""
        marked: list[tuple[Outgoing, Memory | None]] = []
        for number, (outgoing, memory) in enumerate(self._plan.replies):
            memory = memory or Memory("done", reply_mark(self._incoming, number, outgoing), ATTEMPTS_LAST)
            if not self._memory.knows(memory.kind, memory.value):
                marked.append((outgoing, memory))
        self._plan.replies = marked

    def _inbox(self, flags: tuple[str, ...], header: bytes | None) -> Put:
        folder = self._incoming.folder
        return Put(folder, flags, folder != INBOX, header)

    def _leave_out_what_is_done(self) -> None:
        incoming, memory, plan = self._incoming, self._memory, self._plan
        plan.puts = [put for put in plan.puts if not memory.knows("done", put_mark(incoming, put))]
        plan.redirects = [
            one for one in plan.redirects if not memory.knows("done", redirect_mark(incoming, one.recipients[0]))
        ]

    def _file_into(self, action: FileInto) -> None:
        put = self._filter.folder(action, self._folders)
        if isinstance(put, Put):
            self._plan.put(put)
            return
        self._error(f"fileinto: {put}")
        self._plan.put(self._inbox(action.flags, action.header))

    def _redirect(self, action: Redirect) -> None:
        try:
            address = str(parse_mailbox(action.address))
        except AddressSyntaxError as error:
            self._error(f'redirect to "{action.address}": {error}')
            self._plan.put(self._inbox((), action.header))
            return
        if address.lower() in self._own or has_visited(self._visited, address):
            # Sent on it would come back as a loop, and the sender would hear of it.
            self._plan.put(self._inbox((), action.header))
            return
        if any(address.lower() == one.recipients[0].lower() for one in self._plan.redirects):
            return
        sender = self._filter.redirect_sender(self._incoming)
        self._plan.redirects.append(Outgoing(sender, (address,), action.header, with_body=True))

    def _vacation(self, action: Vacation) -> None:
        incoming, header = self._incoming, self._ran.header
        own = (*self._own, *action.addresses)
        if why_not(header, incoming.sender, own, check_recipient=self._filter.checks_recipient):
            return
        key = response_key(incoming.sender, action.handle)
        if self._memory.knows("vacation", key):
            return
        reply = vacation_reply(
            self._letterhead(action.from_ or incoming.original or incoming.recipient),
            to=incoming.sender,
            subject=action.subject,
            reason=action.reason,
            mime=action.mime,
            answered=header,
        )
        lifetime = self._filter.vacation_period(action.seconds)
        self._plan.replies.append((Outgoing("", (incoming.sender,), reply), Memory("vacation", key, lifetime)))

    def _notify(self, action: Notify) -> None:
        header = self._ran.header
        submitted = (first_value(header, b"auto-submitted") or b"no").partition(b";")[0].strip().lower()
        if submitted.partition(b" ")[0] != b"no":
            return  # RFC 5436 section 2.7: a notification never leads to another
        try:
            uri = parse_mailto(action.method)
        except ValueError as error:
            self._error(f'notify "{action.method}": {error}')
            return
        owner = self._incoming.recipient
        letter = notification(
            self._letterhead(action.from_ or owner),
            uri=uri,
            owner=owner,
            message=action.message,
            importance=action.importance,
            about=header,
        )
        self._plan.replies.append((Outgoing("", tuple(dict.fromkeys((*uri.to, *uri.cc))), letter), None))

    def _letterhead(self, from_: str) -> Letterhead:
        return self._filter.letterhead(self._incoming, len(self._plan.replies) + 1, from_)

    def _error(self, text: str) -> None:
        """Log it; tell the user, once a day."""
        incoming, plan = self._incoming, self._plan
        plan.warnings.append(f"{incoming.queue_id}: sieve: to=<{incoming.recipient}>: {text}")
        if not self._filter.tells or not incoming.sender or self._memory.knows("told", ""):
            return  # what has the null sender may be such a notice itself
        self._memory.note("told", "", DAY)
        if self._memory.trouble:
            plan.warnings.append(f"{incoming.queue_id}: sieve: the user is not told: {self._memory.trouble}")
            return
        head = self._letterhead(incoming.recipient)
        letter = error_notice(replace(head, from_=incoming.recipient), to=incoming.recipient, error=text)
        plan.replies.append((Outgoing("", (incoming.recipient,), letter), None))


def put_mark(incoming: Incoming, put: Put) -> str:
    """By which it is known that a message is in a folder."""
    return f"{incoming.queue_id}\0{incoming.recipient}\0folder\0{put.folder}"


def reply_mark(incoming: Incoming, number: int, outgoing: Outgoing) -> str:
    """By which it is known that a reply was sent."""
    return f"{incoming.queue_id}\0{incoming.recipient}\0reply\0{number}\0{','.join(outgoing.recipients)}"


def redirect_mark(incoming: Incoming, address: str) -> str:
    """By which it is known that a message was sent on."""
    return f"{incoming.queue_id}\0{incoming.recipient}\0address\0{address.lower()}"
