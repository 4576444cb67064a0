"""One session with one milter: what may be said when, and what an answer means.  Bytes and values only.

    conversation = Conversation(offer, macro_names)
    send(conversation.open()); ...; conversation.agree(*packet)
    request = conversation.say(HELO, data, macros)     # None: the milter is not asked
    send(request.data)                                 # then, where request.answered:
    verdict = conversation.hear(*packet)               # None: wait on (progress, or an edit that was taken)

The states are a table; a step that is absent is not sent.  Edits are taken with `take_edits`, so that a new body is
never gathered here; they count only once the verdict on the end of the message is there.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.milter import options
from pillarbox.lib.milter.answers import (
    Accept,
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    Continue,
    DeleteRecipient,
    Discard,
    Edit,
    InsertHeader,
    Progress,
    Quarantine,
    Refuse,
    ReplaceBody,
    Shutdown,
    Skip,
    parse_answer,
)
from pillarbox.lib.milter.options import Agreement, Offer, parse_agreement
from pillarbox.lib.milter.packets import (
    ABORT,
    ADD_RECIPIENT_WITH,
    BODY,
    CONNECT,
    DATA,
    END,
    END_OF_HEADER,
    HEADER,
    HELO,
    MACRO,
    MAIL,
    NEGOTIATE,
    QUIT,
    RCPT,
    UNKNOWN,
    MilterError,
    encode,
    texts,
)
from pillarbox.lib.smtp.reply import Reply


class State(enum.Enum):
    """Where a session with a milter is."""

    NEW = enum.auto()
    """Nothing is agreed on."""
    SESSION = enum.auto()
    """Between messages."""
    ENVELOPE = enum.auto()
    """MAIL was sent."""
    CONTENT = enum.auto()
    """Header or body were sent."""
    PASSED = enum.auto()
    """The milter has done with this message."""
    ENDED = enum.auto()
    """The milter has done with this session, or broken it off."""


# What may be said in each state, and the state that follows once it was.
_TABLE: Final[Mapping[State, Mapping[bytes, State]]] = {
    State.NEW: {},
    State.SESSION: {
        CONNECT: State.SESSION,
        HELO: State.SESSION,
        UNKNOWN: State.SESSION,
        MAIL: State.ENVELOPE,
    },
    State.ENVELOPE: {
        RCPT: State.ENVELOPE,
        DATA: State.ENVELOPE,
        UNKNOWN: State.ENVELOPE,
        HEADER: State.CONTENT,
        END_OF_HEADER: State.CONTENT,
        BODY: State.CONTENT,
        END: State.CONTENT,
    },
    State.CONTENT: {
        HEADER: State.CONTENT,
        END_OF_HEADER: State.CONTENT,
        BODY: State.CONTENT,
        END: State.CONTENT,
    },
    State.PASSED: {},
    State.ENDED: {},
}
_OF_SESSION: Final = frozenset((CONNECT, HELO))
_SKIPPABLE: Final = frozenset((RCPT, HEADER, BODY, UNKNOWN))

_ACTION_OF: Final[Mapping[type, int]] = {
    AddHeader: options.ADD_HEADERS,
    InsertHeader: options.ADD_HEADERS,
    ChangeHeader: options.CHANGE_HEADERS,
    AddRecipient: options.ADD_RECIPIENTS,
    DeleteRecipient: options.DELETE_RECIPIENTS,
    ChangeSender: options.CHANGE_SENDER,
    ReplaceBody: options.CHANGE_BODY,
    Quarantine: options.QUARANTINE,
}

EDIT_LIMIT: Final = 10_000
"""Edits of one message by one milter, pieces of body aside."""


@dataclass(frozen=True, slots=True)
class Request:
    """Bytes to send; `answered` says that the milter will answer them."""

    step: bytes
    data: bytes
    answered: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a milter has decided.  `refusal` is for the client; `shutdown`: then end the session; `discard`: take the
    message and throw it away."""

    refusal: Reply | None = None
    discard: bool = False
    shutdown: bool = False


GO_ON: Final = Verdict()


class Conversation:
    """One session with one milter.  Every method that reads raises MilterError: then nothing more may be said."""

    def __init__(self, offer: Offer, macros: Mapping[bytes, tuple[str, ...]]) -> None:
        self._offer = offer
        self._macros = macros
        self.agreement: Agreement | None = None
        self.state = State.NEW
        self.edits: list[Edit] = []
        self._taken = 0
        self._asked: bytes = b""
        self._skipped: bytes = b""

    # --- the beginning
    def open(self) -> bytes:
        """What to send first."""
        return self._offer.packet()

    def agree(self, command: bytes, data: bytes) -> Agreement:
        """The milter's first packet."""
        if command != NEGOTIATE:
            raise MilterError(f"{command!r} instead of the options")
        self.agreement = agreement = parse_agreement(self._offer, data)
        self.state = State.SESSION
        self._macros = {**self._macros, **agreement.macros}
        return agreement

    # --- steps
    def wants(self, step: bytes) -> bool:
        """Whether saying a step now would send anything."""
        return (
            self.agreement is not None
            and step in _TABLE[self.state]
            and step != self._skipped
            and self.agreement.wants(step)
        )

    def cares_for(self, step: bytes) -> bool:
        """Whether the milter wants to see steps of this kind in the message or session that is under way."""
        return self.agreement is not None and bool(_TABLE[self.state]) and self.agreement.wants(step)

    def begin_unseen(self) -> None:
        """The content comes, and MAIL was not said because nobody wanted to see it."""
        if self.state is State.SESSION and self.agreement is not None and not self.agreement.wants(MAIL):
            self.state = State.ENVELOPE

    @property
    def wants_message(self) -> bool:
        """Whether the milter takes part in the message that is under way."""
        return self.state in (State.ENVELOPE, State.CONTENT)

    @property
    def over(self) -> bool:
        """Whether the milter has done with the session."""
        return self.state is State.ENDED

    @property
    def leading_space(self) -> bool:
        """Whether values of header fields go with the blanks before them, both ways."""
        return self.agreement is not None and bool(self.agreement.steps & options.LEADING_SPACE)

    @property
    def sees_refused_recipients(self) -> bool:
        """Whether the milter is told of recipients that were refused already."""
        return self.agreement is not None and bool(self.agreement.steps & options.REJECTED_RECIPIENTS)

    def say(self, step: bytes, data: bytes, values: Mapping[str, str]) -> Request | None:
        """The bytes of a step with its macros; None where the milter is not to be asked.

        A step that the milter does not want still moves the state: it takes part in a message whose MAIL it did not
        want to see.
        """
        following = _TABLE[self.state].get(step)
        agreement = self.agreement
        if following is None or agreement is None:
            return None
        self.state = following
        if step == self._skipped:
            return None
        self._skipped = b""
        if not agreement.wants(step):
            return None
        answered = agreement.replies(step)
        self._asked = step if answered else b""
        return Request(step, self._macro_packet(step, values) + encode(step, data), answered)

    def _macro_packet(self, step: bytes, values: Mapping[str, str]) -> bytes:
        names = self._macros.get(step)
        if not names:
            return b""
        pairs: list[bytes] = []
        for name in names:
            value = values.get(name)
            if value:
                pairs += (options.spelled(name).encode(), value.encode("utf-8", "surrogateescape"))
        return encode(MACRO, step + texts(*pairs)) if pairs else b""

    def abort(self) -> bytes:
        """The message is over without this milter having decided on it; what to send, nothing where it has."""
        undecided = self.wants_message
        if undecided or self.state is State.PASSED:
            self.state = State.SESSION
        self.edits.clear()
        self._taken = 0
        self._skipped = self._asked = b""
        return encode(ABORT) if undecided else b""

    def quit(self) -> bytes:
        """The session is over."""
        talking = self.agreement is not None
        self.agreement = None
        self.state = State.ENDED
        return encode(QUIT) if talking else b""

    # --- answers
    def hear(self, command: bytes, data: bytes) -> Verdict | None:
        """One packet that answers the last step; None where more follows."""
        step = self._asked
        if not step:
            raise MilterError(f"{command!r} without a question")
        answer = parse_answer(command, data)
        if isinstance(answer, Progress):
            return None
        action = _ACTION_OF.get(type(answer))
        if action is not None:
            if command == ADD_RECIPIENT_WITH:
                action = options.ADD_RECIPIENTS_WITH
            self._edit(step, answer, action)  # type: ignore[arg-type]
            return None
        self._asked = b""
        verdict = self._decided(step, answer)
        if step == END:
            self._taken = 0
            if self.state is not State.ENDED:
                self.state = State.SESSION
        return verdict

    def _edit(self, step: bytes, edit: Edit, action: int) -> None:
        assert self.agreement is not None
        if step != END:
            raise MilterError(f"{type(edit).__name__} before the end of the message")
        if not self.agreement.actions & action:
            raise MilterError(f"{type(edit).__name__} was not agreed on")
        if not isinstance(edit, ReplaceBody):
            self._taken += 1
            if self._taken > EDIT_LIMIT:
                raise MilterError(f"more than {EDIT_LIMIT} edits")
        self.edits.append(edit)

    def _decided(self, step: bytes, answer: object) -> Verdict:
        assert self.agreement is not None
        if isinstance(answer, Continue):
            return GO_ON
        if isinstance(answer, Accept):
            if step in _OF_SESSION:
                self.state = State.ENDED
            elif self.state is not State.SESSION:
                self.state = State.PASSED
            return GO_ON
        if isinstance(answer, Skip):
            if step not in _SKIPPABLE or not self.agreement.steps & options.SKIP:
                raise MilterError("a skip where there is nothing to skip")
            self._skipped = step
            return GO_ON
        if isinstance(answer, Discard):
            if step in _OF_SESSION or step == UNKNOWN:
                raise MilterError("a message is discarded that has not begun")
            self.state = State.PASSED
            return Verdict(discard=True)
        if isinstance(answer, Shutdown):
            self.state = State.ENDED
            return Verdict(shutdown=True)
        assert isinstance(answer, Refuse)
        if step in _OF_SESSION:
            self.state = State.ENDED
        elif step not in (RCPT, UNKNOWN):
            self.state = State.PASSED
        return Verdict(refusal=answer.reply, shutdown=answer.reply.code == 421)

    def take_edits(self) -> list[Edit]:
        """The edits since the last time.  None counts before `hear` gives a verdict that accepts the message."""
        edits, self.edits = self.edits, []
        return edits
