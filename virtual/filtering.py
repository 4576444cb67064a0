"""Sieve for hosted mailboxes: a plan of the user's scripts becomes a filing.

Everything happens as the owner of the mailboxes.  The order is that of `Plan`: what is stored is stored before anything
is sent, so that a full disk is no reason to send twice.
"""

from __future__ import annotations

from dataclasses import replace

from pillarbox.lib.address import split_extension
from pillarbox.lib.clients.cleanup import CleanupClient, Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import RECIPIENT_DELIMITER
from pillarbox.lib.delivery import Result
from pillarbox.lib.delivery.result import ENTRUSTED, EXPANDED
from pillarbox.lib.log import log
from pillarbox.lib.queue.envelope import notify_of_members
from pillarbox.lib.sieve_box.content import with_header
from pillarbox.lib.sieve_box.filter import Filter
from pillarbox.lib.sieve_box.plan import Outgoing, Plan, Put
from pillarbox.lib.sieve_box.running import Incoming, Owner
from pillarbox.lib.sieve_box.submission import Submission, Wishes
from pillarbox.lib.store.delivering import from_store_error
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.interface import StoreError
from pillarbox.virtual.filing import Filing, Letter, Outcomes, Write

SERVICE = "cleanup-virtual"
"""The service by which mail of hosted users' filters comes in: a socket of cleanup's that the mailbox owner may use."""


class Filtering:
    """The filters of all hosted users; one per process."""

    def __init__(self, config: Config, cleanup: CleanupClient) -> None:
        self._filter = Filter(config)
        self._delimiters = config[RECIPIENT_DELIMITER]
        self._submission = Submission(config, cleanup)

    def filing(self, letter: Letter) -> Filing | None:
        """What the user's filter makes of a message; None: there is none.  Raises DeliveryFailure."""
        owner = self._owner(letter)
        incoming = _incoming(letter)
        try:
            plan = self._filter.plan(owner, incoming, letter.folders())
        except StoreError as error:
            raise from_store_error(error, "cannot open the mailboxes", tempfail=True) from error
        except (OSError, EOFError) as error:
            raise DeliveryFailure("4.3.0", f"cannot read the queue file: {error}") from error
        if plan is None:
            return None
        for warning in plan.warnings:
            log.warning(warning)
        writes = tuple(_write(letter, put) for put in plan.puts)
        return Filing(
            writes, lambda outcomes: self._conclude(letter, owner, incoming, plan, outcomes), _remembers(plan)
        )

    def _owner(self, letter: Letter) -> Owner:
        local, _, domain = letter.recipient.address.rpartition("@")
        return Owner(letter.maildir, split_extension(local, self._delimiters)[0], domain)

    def _conclude(
        self, letter: Letter, owner: Owner, incoming: Incoming, plan: Plan, outcomes: Outcomes
    ) -> Result | Filing:
        stored = [put for put, failure in zip(plan.puts, outcomes, strict=True) if failure is None]
        for failure in outcomes:
            if failure is not None:
                self._undone(owner, incoming, stored, [])
                raise failure
        if plan.redirects:
            self._undone(owner, incoming, stored, [])  # also for an attempt that ends with this process
        sent: list[Outgoing] = []
        for redirect in plan.redirects:
            try:
                self._submission.send(redirect, letter.content, incoming.recipient, _wishes(letter, plan))
            except (ServiceUnavailable, Rejected, OSError, EOFError) as error:
                if isinstance(error, Rejected) and error.code >= 500:
                    # It will never go there: then it stays here.
                    log.warning(f"{incoming.queue_id}: sieve: redirect to <{redirect.recipients[0]}>: {error}")
                    if not plan.puts:
                        return self._kept(letter, owner, incoming, plan)
                    continue
                self._undone(owner, incoming, [], sent)
                raise DeliveryFailure("4.3.0", f"cannot redirect: {error}") from error
            sent.append(redirect)
        self._finish(letter, owner, incoming, plan)
        if plan.rejection is not None:
            raise DeliveryFailure("5.7.1", plan.rejection)
        handed = ""
        if plan.redirects and not plan.puts:
            handed = ENTRUSTED if len(plan.redirects) == 1 else EXPANDED
        return letter.sent(plan.summary, handed)

    def _kept(self, letter: Letter, owner: Owner, incoming: Incoming, plan: Plan) -> Filing:
        put = Put(incoming.folder, create=bool(incoming.folder))
        kept = Plan(puts=[put], replies=plan.replies, remember=plan.remember)
        return Filing(
            (_write(letter, put),),
            lambda outcomes: self._conclude(letter, owner, incoming, kept, outcomes),
            _remembers(kept),
        )

    def _finish(self, letter: Letter, owner: Owner, incoming: Incoming, plan: Plan) -> None:
        """Send the replies and remember what is to be remembered; nothing that fails here makes the message wait."""
        for outgoing, memory in plan.replies:
            if trouble := self._filter.note(owner, memory):
                log.warning(f"{incoming.queue_id}: sieve: no reply that cannot be remembered: {trouble}")
                continue
            try:
                self._submission.send(outgoing, letter.content, incoming.recipient, Wishes())
            except (ServiceUnavailable, Rejected, OSError, EOFError) as error:
                log.warning(f"{incoming.queue_id}: sieve: reply to <{outgoing.recipients[0]}> is lost: {error}")
                _trouble(incoming, self._filter.forget(owner, memory))
        _trouble(incoming, self._filter.done(owner, plan))

    def _undone(self, owner: Owner, incoming: Incoming, puts: list[Put], redirects: list[Outgoing]) -> None:
        _trouble(incoming, self._filter.undone(owner, incoming, puts, redirects))


def _remembers(plan: Plan) -> bool:
    return bool(plan.remember) or any(memory is not None for _, memory in plan.replies)


def _trouble(incoming: Incoming, trouble: str) -> None:
    if trouble:
        log.warning(f"{incoming.queue_id}: sieve: nothing is remembered: {trouble}")


def _incoming(letter: Letter) -> Incoming:
    request, recipient = letter.request, letter.recipient
    return Incoming(
        request.queue_id,
        request.sender,
        recipient.address,
        letter.content,
        recipient.original,
        letter.folder,
        request.attributes,
    )


def _write(letter: Letter, put: Put) -> Write:
    write = letter.into(put.folder, put.flags, put.create)
    if put.header is None:
        return write
    header = put.header
    return replace(write, chunks=lambda: with_header(letter.content, header))


def _wishes(letter: Letter, plan: Plan) -> Wishes:
    """Where one address is all that becomes of the message it keeps its reports (RFC 3461 section 5.2.7.1)."""
    request, recipient = letter.request, letter.recipient
    alone = len(plan.redirects) == 1 and not plan.puts
    return Wishes(
        original=recipient.original or recipient.address,
        orcpt=recipient.orcpt,
        notify=recipient.notify if alone else notify_of_members(recipient.notify),
        envid=request.envid,
        ret=request.ret,
        deliver_by=request.deliver_by,
        body=request.body,
        smtputf8=request.smtputf8,
        requiretls=request.requiretls,
        attributes=request.attributes,
    )
