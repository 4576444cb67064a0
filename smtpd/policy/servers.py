"""Access tables for the hosts behind a name: its addresses, mail exchangers, name servers (check_..._mx_access ...).

Mail exchangers and name servers are looked up by their names and addresses, for _a_ the addresses only.  A name without
MX records is its own mail exchanger; a name without NS records has the name servers of its parent.  A name that cannot
be looked up is not held against anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pillarbox.lib.address.domain import literal_address
from pillarbox.lib.dns import MX, UNKNOWN, Absent, Answer, RecordType
from pillarbox.lib.smtp import refusals
from pillarbox.smtpd.policy.client import client_name
from pillarbox.smtpd.policy.dns import records
from pillarbox.smtpd.policy.facts import CONNECTION, HELO, RECIPIENT, TRANSACTION
from pillarbox.smtpd.policy.keys import name_keys, network_keys
from pillarbox.smtpd.policy.names import domain_of, without_dot
from pillarbox.smtpd.policy.outcome import Decision
from pillarbox.smtpd.policy.run import NotKnown, Run
from pillarbox.smtpd.policy.tables import forbid_permit, look_up

HOST_LIMIT: Final = 20
"""Hosts of one name that are looked at; more is an accident or an attack."""

A, MX_HOSTS, NS_HOSTS = "a", "mx", "ns"


def _hosts(run: Run, scope: int, domain: str, record: str) -> list[str]:
    """The names of the hosts.  Raises NotKnown."""
    if record == A:
        return [domain]
    if record == MX_HOSTS:
        found = records(run, scope, domain, RecordType.MX)
        if isinstance(found, Answer):
            hosts = [each.exchange for each in found.records if isinstance(each, MX)]
            return [host for host in hosts if host][:HOST_LIMIT]
        return [domain] if isinstance(found, Absent) and found.name_exists else []
    while domain:
        found = records(run, scope, domain, RecordType.NS)
        if isinstance(found, Answer):
            return [str(host) for host in found.records][:HOST_LIMIT]
        if not isinstance(found, Absent):
            return []
        domain = domain.partition(".")[2]
    return []


def _addresses(run: Run, scope: int, host: str) -> tuple[list[str], bool]:
    """The addresses of a host, and whether they are known."""
    found: list[str] = []
    known = True
    for kind in (RecordType.A, RecordType.AAAA):
        try:
            outcome = records(run, scope, host, kind)
        except NotKnown:
            known = False
            continue
        if isinstance(outcome, Answer):
            found += (str(address) for address in outcome.records)
    return found, known


def _check(run: Run, scope: int, table: str, record: str, domain: str, name: str, what: str) -> Decision:
    dotted = run.settings.parent_keys_with_dot
    literal = literal_address(domain)
    if literal is not None:
        if record == NS_HOSTS:
            return None
        return look_up(run, scope, table, network_keys(literal), name, what)[1]
    complete = True
    for host in _hosts(run, scope, without_dot(domain), record):
        addresses, known = _addresses(run, scope, host)
        complete = complete and known
        names = () if record == A else (name_keys(host.lower(), dotted),)
        for order in (*names, *map(network_keys, addresses)):
            try:
                found, decision = look_up(run, scope, table, order, name, what)
            except NotKnown:
                complete = False
                continue
            if found and complete:
                return decision
    if not complete:
        raise NotKnown
    return None


def _of_client(run: Run) -> tuple[str, str] | None:
    name = client_name(run).name
    return (name, run.facts.tag) if name != UNKNOWN else None


def _of_reverse_client(run: Run) -> tuple[str, str] | None:
    name = client_name(run).reverse_name
    return (name, name) if name != UNKNOWN else None


def _of_helo(run: Run) -> tuple[str, str] | None:
    helo = run.facts.helo
    return (helo, helo) if helo else None


def _of_sender(run: Run) -> tuple[str, str] | None:
    sender = run.facts.sender
    return (domain_of(sender), run.facts.given_sender) if sender else None


def _of_recipient(run: Run) -> tuple[str, str] | None:
    recipient = run.facts.recipient
    return (domain_of(recipient), run.facts.given_recipient) if recipient else None


_SUBJECTS: Final = {
    "client": (_of_client, CONNECTION, refusals.CLIENT),
    "reverse_client_hostname": (_of_reverse_client, CONNECTION, refusals.UNVERIFIED_CLIENT),
    "helo": (_of_helo, HELO, refusals.HELO),
    "sender": (_of_sender, TRANSACTION, refusals.SENDER),
    "recipient": (_of_recipient, RECIPIENT, refusals.RECIPIENT),
}


def _restriction(subject: str, record: str) -> Callable[[Run, str], Decision]:
    of, scope, what = _SUBJECTS[subject]
    restriction = f"check_{subject}_{record}_access"

    def check(run: Run, table: str) -> Decision:
        found = of(run)
        if found is None:
            return None
        domain, name = found
        decision = _check(run, scope, table, record, domain, name, what)
        return forbid_permit(run, restriction, decision, domain)

    return check


SERVER_CHECKS: Final = {
    f"check_{subject}_{record}_access": _restriction(subject, record)
    for subject in _SUBJECTS
    for record in (A, MX_HOSTS, NS_HOSTS)
}
"""All fifteen by name."""
