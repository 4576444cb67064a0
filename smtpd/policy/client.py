"""Restrictions about who the client is."""

from __future__ import annotations

from pillarbox.lib.dns import ClientName
from pillarbox.lib.smtp import refusals
from pillarbox.smtpd.policy.facts import CONNECTION
from pillarbox.smtpd.policy.outcome import PERMIT, Decision
from pillarbox.smtpd.policy.run import Run


def client_name(run: Run) -> ClientName:
    """What the DNS says.  Raises NotKnown."""
    name = run.facts.name
    return name if name is not None else run.known(ClientName, CONNECTION, "name")


def permit_mynetworks(run: Run, argument: str) -> Decision:
    """Clients in mynetworks."""
    return PERMIT if run.facts.trusted else None


def permit_inet_interfaces(run: Run, argument: str) -> Decision:
    """This machine itself."""
    return PERMIT if run.facts.address in run.settings.interfaces else None


def permit_sasl_authenticated(run: Run, argument: str) -> Decision:
    """Clients that have authenticated."""
    return PERMIT if run.facts.sasl_username else None


def reject_unknown_client_hostname(run: Run, argument: str) -> Decision:
    """Clients without a name that leads back to their address."""
    name = client_name(run)
    if name.status == "ok":
        return None
    code = 450 if name.status == "temporary" else run.settings.unknown_client_reject_code
    return run.refuse(refusals.unknown_client(code, run.facts.address))


def reject_unknown_reverse_client_hostname(run: Run, argument: str) -> Decision:
    """Clients whose address has no name at all."""
    name = client_name(run)
    if name.reverse_status == "ok":
        return None
    code = 450 if name.reverse_status == "temporary" else run.settings.unknown_client_reject_code
    return run.refuse(refusals.unknown_reverse_client(code, run.facts.address))
