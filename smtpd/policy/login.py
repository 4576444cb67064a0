"""Who may send as whom: sender addresses and their owners (smtpd_sender_login_maps)."""

from __future__ import annotations

from pillarbox.lib.clients.lookup import AccessValue
from pillarbox.lib.smtp import refusals
from pillarbox.smtpd.policy.facts import TRANSACTION, Trouble
from pillarbox.smtpd.policy.outcome import Decision
from pillarbox.smtpd.policy.run import Broken, Run


def _owners(run: Run, sender: str) -> frozenset[str] | None:
    """The login names that own an address, folded; None where nobody does.  Raises NotKnown, Broken."""
    found = run.fact(TRANSACTION, "owners", run.settings.sender_logins, sender)
    if isinstance(found, Trouble):
        run.warn(f"smtpd_sender_login_maps: {sender}: {found.reason}")
        raise Broken(refusals.temporary_failure(sender))
    if found is None:
        return None
    assert isinstance(found, AccessValue)
    return frozenset(found.value.replace(",", " ").casefold().split())


def _of_others(run: Run, *, unknown_too: bool) -> Decision:
    """A user who does not own the sender address; with `unknown_too` also where nobody owns it."""
    facts = run.facts
    if not facts.sender or not facts.sasl_username or not run.settings.sender_logins:
        return None
    owners = _owners(run, facts.sender)
    if owners is None and not unknown_too:
        return None
    if owners is not None and facts.sasl_username.casefold() in owners:
        return None
    return run.refuse(refusals.not_owned(facts.given_sender, facts.sasl_username))


def reject_authenticated_sender_login_mismatch(run: Run, argument: str) -> Decision:
    """An authenticated client that does not own the sender address."""
    return _of_others(run, unknown_too=True)


def reject_known_sender_login_mismatch(run: Run, argument: str) -> Decision:
    """The same where the address has an owner at all."""
    return _of_others(run, unknown_too=False)


def reject_unauthenticated_sender_login_mismatch(run: Run, argument: str) -> Decision:
    """A client that has not authenticated and sends as an address that has an owner."""
    facts = run.facts
    if not facts.sender or facts.sasl_username or not run.settings.sender_logins:
        return None
    if _owners(run, facts.sender) is None:
        return None
    return run.rejected(553, "5.7.1", refusals.NOT_LOGGED_IN, facts.given_sender, refusals.SENDER)


def reject_sender_login_mismatch(run: Run, argument: str) -> Decision:
    """Either of the two."""
    return reject_authenticated_sender_login_mismatch(run, argument) or (
        reject_unauthenticated_sender_login_mismatch(run, argument)
    )
