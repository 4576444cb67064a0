"""Access tables: check_client_access and its like (access(5))."""

from __future__ import annotations

from typing import Final

from pillarbox.lib.clients.lookup import AccessValue
from pillarbox.lib.config.restrictions import certificate_table
from pillarbox.lib.smtp import refusals
from pillarbox.smtpd.policy.actions import About, act
from pillarbox.smtpd.policy.client import client_name
from pillarbox.smtpd.policy.facts import CONNECTION, HELO, RECIPIENT, TRANSACTION, Trouble
from pillarbox.smtpd.policy.keys import Order, address_keys, host_keys, name_keys
from pillarbox.smtpd.policy.outcome import PERMIT, Decision
from pillarbox.smtpd.policy.relay import has_route
from pillarbox.smtpd.policy.run import Broken, Run


def find(run: Run, scope: int, tables: tuple[str, ...], order: Order, name: str) -> AccessValue | None:
    """The first of the keys in tables.  Raises NotKnown; Broken where the tables cannot be asked."""
    keys = tuple(key for key, _ in order if key)
    partial = tuple(part for key, part in order if key)
    found = run.fact(scope, "access", tables, keys, partial)
    if isinstance(found, Trouble):
        run.warn(f"{', '.join(tables)}: {found.reason}")
        raise Broken(refusals.temporary_failure(name))
    assert found is None or isinstance(found, AccessValue)
    return found


def look_up(run: Run, scope: int, table: str, order: Order, name: str, what: str) -> tuple[bool, Decision]:
    """Whether one of the keys is there, and what its action decides."""
    found = find(run, scope, (table,), order, name)
    if found is None:
        return False, None
    about = About(name, what, f'access table {table} entry "{found.key}"')
    return True, act(run, about, found.value)


def check_client_access(run: Run, table: str) -> Decision:
    """The client's name and its parents, then its address and networks."""
    facts = run.facts
    order = host_keys(client_name(run).name, facts.address, run.settings.parent_keys_with_dot)
    return look_up(run, CONNECTION, table, order, facts.tag, refusals.CLIENT)[1]


def check_reverse_client_hostname_access(run: Run, table: str) -> Decision:
    """The name that the client's address claims, which anybody may claim: it cannot permit anything."""
    facts = run.facts
    reverse = client_name(run).reverse_name
    order = host_keys(reverse, facts.address, run.settings.parent_keys_with_dot)
    decision = look_up(run, CONNECTION, table, order, reverse, refusals.UNVERIFIED_CLIENT)[1]
    return forbid_permit(run, "check_reverse_client_hostname_access", decision, reverse)


def check_helo_access(run: Run, table: str) -> Decision:
    """The name in HELO and its parents."""
    helo = run.facts.helo
    if not helo:
        return None
    return look_up(run, HELO, table, name_keys(helo, run.settings.parent_keys_with_dot), helo, refusals.HELO)[1]


def check_sender_access(run: Run, table: str) -> Decision:
    """The sender, its domain and parents, its local part; `<>` for the null sender."""
    facts, settings = run.facts, run.settings
    if facts.sender is None:
        return None
    if facts.sender:
        order = address_keys(facts.sender, settings.delimiters, settings.parent_keys_with_dot)
    else:
        order = ((settings.null_key, False),)
    return look_up(run, TRANSACTION, table, order, facts.given_sender, refusals.SENDER)[1]


def check_recipient_access(run: Run, table: str) -> Decision:
    """The recipient; a permission for an address with a route in it counts for nothing."""
    facts, settings = run.facts, run.settings
    if not facts.recipient:
        return None
    order = address_keys(facts.recipient, settings.delimiters, settings.parent_keys_with_dot)
    decision = look_up(run, RECIPIENT, table, order, facts.given_recipient, refusals.RECIPIENT)[1]
    return None if decision == PERMIT and has_route(facts.recipient) and not run.discarding else decision


def check_etrn_access(run: Run, table: str) -> Decision:
    """The domain in ETRN and its parents."""
    domain = run.facts.etrn
    if not domain:
        return None
    order = name_keys(domain.lstrip("@#"), run.settings.parent_keys_with_dot)
    return look_up(run, RECIPIENT, table, order, domain, refusals.ETRN)[1]


def check_sasl_access(run: Run, table: str) -> Decision:
    """The authenticated user."""
    user = run.facts.sasl_username
    return look_up(run, TRANSACTION, table, ((user, False),), user, refusals.LOGIN)[1] if user else None


def check_ccert_access(run: Run, argument: str) -> Decision:
    """The fingerprints of the client's certificate and its public key."""
    certificate = run.facts.certificate
    table, search = certificate_table(argument)
    values = {"cert_fingerprint": certificate.fingerprint, "pubkey_fingerprint": certificate.pubkey_fingerprint}
    order = tuple((values[name], False) for name in search if values[name])
    return look_up(run, CONNECTION, table, order, run.facts.tag, refusals.CERTIFICATE)[1] if order else None


FORGEABLE: Final = "use DUNNO instead of OK if you want to make an exception"


def forbid_permit(run: Run, restriction: str, decision: Decision, name: str) -> Decision:
    """What a stranger can make the DNS say must permit nothing."""
    if decision == PERMIT and not run.discarding:
        run.warn(f"restriction {restriction} returns OK for {name}")
        run.warn("this is not allowed for security reasons")
        run.warn(FORGEABLE)
        raise Broken(refusals.CONFIGURATION)
    return decision
