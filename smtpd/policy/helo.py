"""Restrictions about the name in HELO or EHLO.

Without HELO they have nothing to say; smtpd_helo_required demands it.
"""

from __future__ import annotations

from pillarbox.lib.dns import Answer, Failed
from pillarbox.lib.smtp import refusals
from pillarbox.smtpd.policy.dns import exists
from pillarbox.smtpd.policy.facts import HELO
from pillarbox.smtpd.policy.names import is_address, is_address_literal, is_hostname, is_qualified, without_dot
from pillarbox.smtpd.policy.outcome import Decision
from pillarbox.smtpd.policy.run import Run


def _bad_literal(run: Run, name: str) -> Decision:
    """`[address]` in place of a name (RFC 5321 section 4.1.3)."""
    if is_address_literal(name):
        return None
    code = run.settings.invalid_hostname_reject_code
    return run.rejected(code, "5.5.2", refusals.INVALID_ADDRESS, name, refusals.HELO)


def reject_invalid_helo_hostname(run: Run, argument: str) -> Decision:
    """What is no host name."""
    name = run.facts.helo
    if not name:
        return None
    if name.startswith("["):
        return _bad_literal(run, name)
    plain = without_dot(name)
    if is_hostname(plain) or is_address(plain):
        return None
    return run.rejected(run.settings.invalid_hostname_reject_code, "5.5.2", refusals.INVALID_NAME, name, refusals.HELO)


def reject_non_fqdn_helo_hostname(run: Run, argument: str) -> Decision:
    """A name without a domain (RFC 5321 section 2.3.5)."""
    name = run.facts.helo
    if not name:
        return None
    if name.startswith("["):
        return _bad_literal(run, name)
    if is_qualified(without_dot(name)):
        return None
    return run.rejected(run.settings.non_fqdn_reject_code, "5.5.2", refusals.NEED_HOSTNAME, name, refusals.HELO)


def reject_unknown_helo_hostname(run: Run, argument: str) -> Decision:
    """A name that the DNS has neither an address nor a mail exchanger for."""
    name = run.facts.helo
    if not name:
        return None
    if name.startswith("["):
        return _bad_literal(run, name)
    found = exists(run, HELO, without_dot(name))
    if isinstance(found, Answer):
        return None
    if isinstance(found, Failed):
        reply = refusals.rejected(450, "4.7.1", name, refusals.HELO, refusals.HOST_NOT_FOUND)
        return run.unknown_now(reply, run.settings.unknown_helo_hostname_tempfail_action)
    return run.rejected(
        run.settings.unknown_hostname_reject_code, "4.7.1", refusals.HOST_NOT_FOUND, name, refusals.HELO
    )
