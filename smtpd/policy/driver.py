"""Access policy as checks of a session: gathers facts, evaluates, fetches what is missing, does what comes of it.

A decision whose facts are all at hand (that of the default configuration, mostly) is made at once and costs no task.
Effects are logged when an evaluation is complete; they are carried out when the recipient, or the content, is accepted,
so that a refused recipient leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pillarbox.lib.log import log
from pillarbox.lib.smtp.events import Data, End, Etrn, Hello, Rcpt
from pillarbox.lib.smtp.reply import Reply
from pillarbox.lib.tls import TlsFacts
from pillarbox.smtpd.policy.effects import amend, carry_out
from pillarbox.smtpd.policy.facts import CONNECTION, HELO, TRANSACTION, Certificate, Facts, Key
from pillarbox.smtpd.policy.inquiry import at_hand, fetch_all, is_lasting
from pillarbox.smtpd.policy.lists import applies, evaluate
from pillarbox.smtpd.policy.memory import Memory, Stretch
from pillarbox.smtpd.policy.outcome import Effect, Missing, Outcome

if TYPE_CHECKING:
    from pillarbox.smtpd.checks import Checks, Stage, Verdict
    from pillarbox.smtpd.server import Server
    from pillarbox.smtpd.session import Session

ROUNDS: Final = 500
"""Evaluations of one decision: each has a new fact, and no list of rules needs so many one after the other."""

_STAGES: Final[tuple[Stage, ...]] = ("CONNECT", "HELO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE", "ETRN")


def checks(server: Server) -> Checks:
    """The checks that the lists of the service ask for."""
    return {stage: (_check(stage),) for stage in _STAGES if applies(server.settings, stage)}


def _check(stage: Stage) -> Callable[[Session, Any], Any]:
    def check(session: Session, event: Any) -> Any:
        return Decision(session, stage, event).now()

    return check


async def judge(session: Session, recipient: str) -> Verdict:
    """What RCPT would say against a recipient, also outside a transaction (VRFY)."""
    await session.name_settled()
    decision = Decision(session, "VRFY", Rcpt(recipient))
    decision.facts.recipient = recipient
    verdict = decision.now()
    return verdict if verdict is None or isinstance(verdict, Reply) else await verdict


class Decision:
    """One stage of a session being decided."""

    __slots__ = ("_hello", "_memory", "_passing", "_recipient", "_session", "_stage", "_transaction", "facts")

    def __init__(self, session: Session, stage: Stage, event: Any) -> None:
        self._session = session
        self._stage = stage
        if session.policy is None:
            session.policy = Memory()
        self._memory = session.policy.of(session.client.address, session.core.helo_name)
        # Another HELO counts only once it has been accepted.
        self._hello = Stretch() if isinstance(event, Hello) else self._memory.hello
        transaction = session.transaction
        self._transaction = transaction.policy if transaction is not None else Stretch()
        self._passing: dict[Key, object] = {}
        self._recipient = transaction.candidate if transaction is not None and stage == "RCPT" else None
        self.facts = gather(session, stage, event)

    def now(self) -> Any:
        """The verdict, or a coroutine for it where something has to be asked or waited for."""
        session = self._session
        outcome = self._evaluate() if session.client.named else None
        if isinstance(outcome, Outcome) and not outcome.sleep:
            return self._conclude(outcome)
        return self._later(outcome)

    async def _later(self, outcome: Outcome | Missing | None) -> Verdict:
        session = self._session
        await session.name_settled()
        self.facts.name = session.client.found
        for _ in range(ROUNDS):
            if outcome is None:
                outcome = self._evaluate()
            if isinstance(outcome, Outcome):
                break
            keys = list(outcome.keys)
            for (key, scope), value in zip(outcome.keys.items(), await fetch_all(session, keys), strict=True):
                self._stretch(scope, value)[key] = value
            outcome = None
        else:
            raise RuntimeError(f"access policy in {self._stage} needs more and more facts")
        assert isinstance(outcome, Outcome)
        if outcome.sleep:
            await asyncio.sleep(outcome.sleep)
        return self._conclude(outcome)

    def _evaluate(self) -> Outcome | Missing:
        return evaluate(self._session.server.settings, self._stage, self.facts, self._at_hand, self._inherited())

    def _inherited(self) -> Reply | None:
        """The deferral that earlier stages have handed on."""
        memory = self._memory
        handed = memory.connection.deferral or self._hello.deferral
        return handed or (self._transaction.deferral if self._stage != "ETRN" else None)

    def _at_hand(self, key: Key) -> object:
        for known in (self._passing, self._transaction.known, self._hello.known, self._memory.connection.known):
            if key in known:
                return known[key]
        found = at_hand(self._session.server, key)
        if found is None:
            raise KeyError(key)
        self._passing[key] = found
        return found

    def _stretch(self, scope: int, value: object) -> dict[Key, object]:
        if not is_lasting(value):
            return self._passing
        if scope == CONNECTION:
            return self._memory.connection.known
        if scope == HELO:
            return self._hello.known
        return self._transaction.known if scope == TRANSACTION else self._passing

    def _conclude(self, outcome: Outcome) -> Verdict:
        for warning in outcome.warnings:
            log.warning(warning)
        for effect in outcome.effects:
            if effect.text:
                self._session.log_decision(effect.word, self._stage, effect.text, self._recipient)
        if outcome.refusal is not None:
            if self._stage == "CONNECT":
                self._session.log_rejection(self._stage, str(outcome.refusal))
            return outcome.refusal
        self._hand_on(outcome)
        return None

    def _hand_on(self, outcome: Outcome) -> None:
        memory, transaction = self._memory, self._session.transaction
        effects = tuple(effect for effect in outcome.effects if effect.value or effect.word == "discard")
        match self._stage:
            case "CONNECT":
                memory.connection.effects, memory.connection.deferral = effects, outcome.deferral
            case "HELO":
                self._hello.effects, self._hello.deferral = effects, outcome.deferral
                name = self.facts.helo or ""
                if name == self._session.core.helo_name:
                    memory.hello = self._hello
                else:  # others may refuse it; then the name before it stays
                    memory.announced = name, self._hello
            case "MAIL":
                self._transaction.deferral = outcome.deferral
                assert transaction is not None
                carry_out(transaction, effects)
            case "RCPT":
                self._transaction.effects = (*memory.connection.effects, *memory.hello.effects, *effects)
            case "DATA" | "END-OF-MESSAGE":
                self._transaction.effects = effects
            case _:
                pass


def accept(session: Session, *, complete: bool = False) -> None:
    """The recipient, or the content, that was decided about is accepted: carry out what was wanted.

    `complete`: the content has come already.
    """
    transaction = session.transaction
    if transaction is not None and transaction.policy.effects:
        effects: tuple[Effect, ...]
        effects, transaction.policy.effects = transaction.policy.effects, ()
        if complete:
            transaction.edits = amend(transaction.edits, effects, transaction.recipients)
        else:
            carry_out(transaction, effects)


def decline(session: Session) -> None:
    """The recipient, or the content, was refused after all, by whomever: nothing that was wanted for it is done."""
    if session.transaction is not None:
        session.transaction.policy.effects = ()


def gather(session: Session, stage: str, event: Any) -> Facts:
    """What is known of the session without asking anybody."""
    core, client, transaction = session.core, session.client, session.transaction
    facts = Facts(
        client.address,
        client.port,
        client.found if client.named else None,
        session.origin.local_address,
        session.origin.local_port,
        session.trusted,
        core.helo_name or None,
        "",
        core.protocol,
    )
    if isinstance(event, Hello):
        facts.helo, facts.verb = event.name, event.verb
    facts.buffered = core.buffered > 0
    facts.sasl_method, facts.sasl_username = session.sasl_method, session.sasl_username
    facts.encrypted = core.tls
    if session.tls is not None:
        _describe_tls(session.tls, facts)
    if isinstance(event, Etrn):
        facts.etrn = event.domain
    if transaction is not None:
        _describe_transaction(session, stage, event, facts)
    return facts


def _describe_tls(tls: TlsFacts, facts: Facts) -> None:
    facts.tls_protocol, facts.tls_cipher, facts.tls_bits = tls.protocol, tls.cipher, tls.bits
    shown = tls.certificate
    if shown is not None:
        names = (shown.subject, shown.issuer) if shown.trusted else ("", "")  # unverified, they are anybody's words
        facts.certificate = Certificate(*names, shown.fingerprint, shown.pubkey_fingerprint, shown.trusted)


def _describe_transaction(session: Session, stage: str, event: Any, facts: Facts) -> None:
    transaction = session.transaction
    assert transaction is not None
    mail = transaction.mail
    facts.sender, facts.given_sender = transaction.sender, mail.sender
    facts.recipients = len(transaction.recipients)
    facts.size = event.size if isinstance(event, End) else mail.size
    facts.discarding = transaction.discard
    facts.sasl_sender = transaction.sasl_sender
    if transaction.message is not None:
        facts.queue_id = transaction.message.queue_id
    facts.instance = transaction.instance
    if stage == "RCPT":
        facts.recipient, facts.given_recipient = transaction.candidate, event.recipient
    elif isinstance(event, Data | End) and len(transaction.recipients) == 1:
        facts.recipient = facts.given_recipient = transaction.recipients[0].address
