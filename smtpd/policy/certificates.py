"""Restrictions about the client's TLS certificate."""

from __future__ import annotations

from pillarbox.smtpd.policy.facts import CONNECTION
from pillarbox.smtpd.policy.outcome import PERMIT, Decision
from pillarbox.smtpd.policy.run import Run
from pillarbox.smtpd.policy.tables import find


def permit_tls_clientcerts(run: Run, argument: str) -> Decision:
    """A client whose certificate, or public key, has its fingerprint in relay_clientcerts."""
    certificate, tables = run.facts.certificate, run.settings.relay_clientcerts
    prints = tuple(each for each in (certificate.fingerprint, certificate.pubkey_fingerprint) if each)
    if not prints or not tables:
        return None
    found = find(run, CONNECTION, tables, tuple((each, False) for each in prints), run.facts.tag)
    return PERMIT if found is not None else None


def permit_tls_all_clientcerts(run: Run, argument: str) -> Decision:
    """A client with a certificate of an authority that we trust: for certificate authorities of one's own only."""
    return PERMIT if run.facts.certificate.trusted else None
