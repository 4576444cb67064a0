"""Relay and recipient policy: which client may send to which recipient.

Each restriction of smtpd_relay_restrictions and smtpd_recipient_restrictions is a small function from a `Request` to a
decision: PERMIT, a refusal, or None for "the next one decides".  The lists are evaluated from left to right; a list
that comes to its end permits.  `permit` in one list never skips the other.

What tables say about the recipient is asked once, before, and is part of the request.  Closed by default:
`check_restrictions` refuses a configuration in which nothing could ever refuse a stranger's mail to strangers, and
mail for users that do not exist is refused whoever sends it (smtpd_reject_unlisted_recipient).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pillarbox.lib.clients.lookup import RecipientVerdict
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Policy:
    """The configured rules, prepared once per process."""

    relay: tuple[Restriction, ...]
    recipient: tuple[Restriction, ...]
    reject_unlisted: bool = True
    unknown_code: int = 550
    show_table: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """One recipient from one client.  `verdict` is what the tables say about the recipient."""

    policy: Policy
    trusted: bool
    authenticated: bool
    sender: str
    recipient: str
    verdict: RecipientVerdict


PERMIT: Final = "permit"
Decision: TypeAlias = Literal["permit"] | Reply | None
Restriction: TypeAlias = Callable[[Request], Decision]

_ROUTING = frozenset("@%!")


def _local_part(address: str) -> str:
    return address.rpartition("@")[0]


def _authorized(request: Request) -> bool:
    """Whether the destination is ours to take mail for: our domains, and those that we relay for.

    Not with a second address inside the local part (user%elsewhere@ours, elsewhere!user@ours, "user@elsewhere"@ours):
    a next hop may read it as an order to relay (postconf(5), reject_unauth_destination).
    """
    if request.verdict.address_class == "default" or request.verdict.status == "relay_denied":
        return False
    return _ROUTING.isdisjoint(_local_part(request.recipient))


def permit(request: Request) -> Decision:
    """Always."""
    return PERMIT


def reject(request: Request) -> Decision:
    """Never."""
    return replies.access_denied(request.recipient)


def defer(request: Request) -> Decision:
    """Not now."""
    return replies.try_later(request.recipient)


def permit_mynetworks(request: Request) -> Decision:
    """Clients in mynetworks."""
    return PERMIT if request.trusted else None


def permit_sasl_authenticated(request: Request) -> Decision:
    """Clients that have authenticated."""
    return PERMIT if request.authenticated else None


def permit_auth_destination(request: Request) -> Decision:
    """Recipients in our domains and those that we relay for."""
    return PERMIT if _authorized(request) else None


def reject_unauth_destination(request: Request) -> Decision:
    """Recipients elsewhere."""
    return None if _authorized(request) else replies.relay_denied(request.recipient)


def defer_unauth_destination(request: Request) -> Decision:
    """The same with a temporary code."""
    return None if _authorized(request) else replies.relay_deferred(request.recipient)


def reject_unlisted_recipient(request: Request) -> Decision:
    """Recipients that the tables of their own domain do not have, or declare undeliverable."""
    verdict, policy = request.verdict, request.policy
    if verdict.status not in ("unknown", "error"):
        return None
    code, enhanced, text = verdict.code, verdict.dsn, verdict.text
    if verdict.status == "unknown":
        if code == 550:
            code = policy.unknown_code
        if not policy.show_table:
            text = text.partition(" in ")[0]
    if code < 400:
        code, enhanced = policy.unknown_code, "5.1.1"
    if enhanced[:1] != str(code)[:1]:
        enhanced = str(code)[0] + enhanced[1:]
    return replies.recipient_rejected(code, enhanced, request.recipient, text or "User unknown")


RESTRICTIONS: Final[dict[str, Restriction]] = {
    function.__name__: function
    for function in (
        permit,
        reject,
        defer,
        permit_mynetworks,
        permit_sasl_authenticated,
        permit_auth_destination,
        reject_unauth_destination,
        defer_unauth_destination,
        reject_unlisted_recipient,
    )
}
"""Every restriction by its name in the configuration."""

_PROTECTING: Final = frozenset(("reject", "defer", "reject_unauth_destination", "defer_unauth_destination"))


def parse_restrictions(parameter: str, names: Sequence[str]) -> tuple[Restriction, ...]:
    """The functions of a list; raises ValueError for a name that is none."""
    for name in names:
        if name not in RESTRICTIONS:
            raise ValueError(f'{parameter}: unknown restriction "{name}"; known are {", ".join(sorted(RESTRICTIONS))}')
    return tuple(RESTRICTIONS[name] for name in names)


def check_restrictions(relay: Sequence[str], recipient: Sequence[str]) -> None:
    """Refuse an open relay: raises ValueError unless something refuses mail to strangers before any plain `permit`."""
    for names in (relay, recipient):
        for name in names:
            if name in _PROTECTING:
                return
            if name == "permit":
                break
    raise ValueError(
        "in smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: "
        + ", ".join(sorted(_PROTECTING))
    )


def evaluate(restrictions: Sequence[Restriction], request: Request) -> Reply | None:
    """The refusal of a list, or None where it permits."""
    for restriction in restrictions:
        decision = restriction(request)
        if decision is not None:
            return decision if isinstance(decision, Reply) else None
    return None


def check_recipient(request: Request) -> Reply | None:
    """All that is decided in RCPT: a refusal, or None to accept."""
    policy = request.policy
    return (
        evaluate(policy.relay, request)
        or evaluate(policy.recipient, request)
        or (reject_unlisted_recipient(request) if policy.reject_unlisted else None)  # type: ignore[return-value]
    )
