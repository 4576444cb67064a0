"""All milters of one client's session, asked in turn: the first decision against the client ends the round."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pillarbox.lib.dns import Resolver
from pillarbox.lib.log import log
from pillarbox.lib.milter import HeaderList, HeaderTooLarge, MilterError
from pillarbox.lib.milter.body import wire_chunks
from pillarbox.lib.milter.conversation import Verdict
from pillarbox.lib.milter.packets import (
    BODY,
    BODY_CHUNK,
    CONNECT,
    DATA,
    END,
    END_OF_HEADER,
    HEADER,
    HELO,
    MAIL,
    RCPT,
    UNKNOWN,
    texts,
)
from pillarbox.lib.queue.edits import Edits
from pillarbox.milter.addresses import Addresses
from pillarbox.milter.draft import Draft, State
from pillarbox.milter.peer import TRY_LATER, Milter, Outcome

STEPS = {"connect": CONNECT, "helo": HELO, "mail": MAIL, "rcpt": RCPT, "data": DATA, "unknown": UNKNOWN, "end": END}
"""The steps of a client's session, by their names in a request."""

FAMILIES = {"U": b"U", "L": b"L", "4": b"4", "6": b"6"}
"""How a client is connected: unknown, UNIX, IPv4, IPv6 (mfdef.h, SMFIA_*)."""

REFUSED = "refused"
"""Named among the steps where any milter wants to see refused recipients too."""

HEADER_LIMIT = 1024 * 1024
"""Bytes of a header block; cleanup gathers no longer one."""

VALUE_LIMIT = BODY_CHUNK - 64
"""Octets of a header field that milters see: libmilter reads no larger packet, and ends the session at one."""

FAILED = Outcome(Verdict(refusal=TRY_LATER))


@dataclass(frozen=True, slots=True)
class Message:
    """The content to be looked at: `length` bytes from `offset` of the file behind `descriptor`.  It begins with
    `header` bytes of header block; after an empty line comes the body.  `binary`: its octets are as they came
    (BINARYMIME).  `queue_id` stands in our own Received:, which milters do not see."""

    descriptor: int
    offset: int
    length: int
    header: int
    queue_id: str
    binary: bool = False


class Chain:
    """The milters of one session."""

    def __init__(self, milters: Sequence[Milter], resolver: Resolver, addresses: Addresses, body_limit: int) -> None:
        self._milters = milters
        self._resolver = resolver
        self._addresses = addresses
        self._body_limit = body_limit
        self.values: dict[str, str] = {}
        """Macros, by names without braces: what was said last holds."""

    async def open(self) -> Outcome:
        """Connect to all.  The default action of one that cannot be reached is the outcome."""
        hold = ""
        for milter in self._milters:
            outcome = await milter.open(self._resolver)
            if _final(outcome):
                return outcome
            hold = hold or outcome.hold
        return Outcome(hold=hold)

    def wanted(self) -> list[str]:
        """The steps that any milter wants to see now; the end of a message always."""
        names = [name for name, step in STEPS.items() if any(milter.wants(step) for milter in self._milters)]
        if "rcpt" in names and any(milter.conversation.sees_refused_recipients for milter in self._milters):
            names.append(REFUSED)
        return names

    async def begin(self, name: str, family: str, port: int, address: str) -> Outcome:
        """Connect to all, then tell them who has connected to us."""
        opened = await self.open()
        if _final(opened):
            return opened
        told = await self.connect(name, family, port, address)
        return told if _final(told) else Outcome(hold=opened.hold or told.hold)

    async def connect(self, name: str, family: str, port: int, address: str) -> Outcome:
        """Tell all milters who has connected."""
        data = texts(name.encode("utf-8", "surrogateescape")) + FAMILIES[family]
        if family != "U":
            data += port.to_bytes(2, "big") + texts(address.encode())
        return await self._tell(CONNECT, data)

    async def step(self, name: str, arguments: Sequence[bytes], *, refused: bool = False) -> Outcome:
        """Tell all milters of a step; `refused`: a recipient that only those see who have asked to see refused ones."""
        if name == "mail":
            self.abort()  # whatever was before it is over
        return await self._tell(STEPS[name], texts(*arguments), refused=refused)

    async def _tell(self, step: bytes, data: bytes, *, refused: bool = False) -> Outcome:
        hold = ""
        for milter in self._milters:
            if refused and not milter.conversation.sees_refused_recipients:
                continue
            outcome = await milter.step(step, data, self.values, milter.spec.command_timeout)
            if _final(outcome) and not refused:
                return outcome
            hold = hold or outcome.hold
        return Outcome(hold=hold)

    async def examine(self, message: Message) -> tuple[Outcome, Edits]:
        """Show a whole message to each milter; what they decide, and the sum of what they edit."""
        try:
            block = os.pread(message.descriptor, message.header, message.offset)
            state = State(HeaderList(block, message.queue_id, HEADER_LIMIT))
        except (OSError, HeaderTooLarge) as error:
            log.warning(f"{message.queue_id}: not shown to milters: {error}")
            return FAILED, Edits()
        try:
            for milter in self._milters:
                outcome, state = await self._show(milter, message, state)
                if _final(outcome):
                    state.close()
                    return outcome, Edits()
                if outcome.hold:
                    state.hold = state.hold or outcome.hold
            return Outcome(hold=state.hold), state.edits()
        except OSError as error:
            state.close()
            log.warning(f"{message.queue_id}: edits of milters: {error.strerror}")
            return FAILED, Edits()
        except BaseException:  # cancelled: the client has gone
            state.close()
            raise

    async def _show(self, milter: Milter, message: Message, state: State) -> tuple[Outcome, State]:
        conversation = milter.conversation
        conversation.begin_unseen()
        draft = Draft(
            state,
            self._addresses,
            leading_space=conversation.leading_space,
            binary=message.binary,
            size_limit=self._body_limit,
        )
        accepted = False
        try:
            for step, data in self._content(milter, message, state):
                outcome = await milter.step(step, data, self.values, milter.spec.content_timeout)
                if _final(outcome):
                    return outcome, state
                if not conversation.wants_message:
                    break
            outcome = await milter.step(END, b"", self.values, milter.spec.content_timeout, draft.take)
            if _final(outcome) or milter.broken:
                return outcome, state
            try:
                state = draft.accept()
                accepted = True
            except MilterError as error:
                outcome = milter.give_up(str(error))
            return outcome, state
        finally:
            if not accepted:
                draft.drop()

    def _content(self, milter: Milter, message: Message, state: State) -> Iterator[tuple[bytes, bytes]]:
        """The steps of a message's content, in their order."""
        conversation = milter.conversation
        if conversation.wants(HEADER):
            for name, value in state.header.shown(leading_space=conversation.leading_space):
                yield HEADER, texts(name, value[: VALUE_LIMIT - len(name)])
        yield END_OF_HEADER, b""
        if conversation.wants(BODY):
            if state.body is not None:
                chunks = wire_chunks(state.body.descriptor, 0, state.body.size, binary=message.binary)
            else:
                start, end = message.header + 1, message.length
                chunks = wire_chunks(message.descriptor, message.offset + start, end - start, binary=message.binary)
            for chunk in chunks:
                yield BODY, chunk
                if not conversation.wants(BODY):
                    return

    def abort(self) -> None:
        """The message is over."""
        for milter in self._milters:
            milter.abort()

    def close(self) -> None:
        """The session is over."""
        for milter in self._milters:
            milter.close()


def _final(outcome: Outcome) -> bool:
    verdict = outcome.verdict
    return verdict.refusal is not None or verdict.discard or verdict.shutdown
