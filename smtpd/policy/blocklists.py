"""Lists in the DNS: of addresses (RBL, DNSWL; RFC 5782) and of domains (RHSBL, RHSWL).

A list that does not answer refuses nobody and permits nobody; a permitting list that does not answer makes a later
refusal temporary.  A permitting list never opens a way to relay.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from pillarbox.lib.address.domain import to_ascii
from pillarbox.lib.config.reply_filter import Listing, parse_listing
from pillarbox.lib.dns import UNKNOWN, Answer, Failed, RecordType
from pillarbox.lib.smtp import refusals
from pillarbox.smtpd.policy.client import client_name
from pillarbox.smtpd.policy.dns import records
from pillarbox.smtpd.policy.facts import CONNECTION, HELO, RECIPIENT, TRANSACTION
from pillarbox.smtpd.policy.macros import fill_in, session_macros
from pillarbox.smtpd.policy.names import domain_of, without_dot
from pillarbox.smtpd.policy.outcome import PERMIT, Decision
from pillarbox.smtpd.policy.relay import authorized
from pillarbox.smtpd.policy.run import Run
from pillarbox.smtpd.policy.tables import find

REASON_LIMIT: Final = 255
"""Characters of a list's reason that are passed on."""

_REPLY: Final = re.compile(r"([45][0-9]{2}) (.+)", re.DOTALL)


def _address_question(address: str, listing: Listing) -> str:
    """The address backwards below the list: 1.2.0.192, or the digits of an IPv6 address (RFC 5782 section 2).

    "" where the address is not known (a proxy may not know it).
    """
    try:
        backwards = ipaddress.ip_address(address).reverse_pointer
    except ValueError:
        return ""
    return f"{backwards.rpartition('.')[0].rpartition('.')[0]}.{listing.domain}"


def _listed(run: Run, scope: int, listing: Listing, question: str) -> bool | None:
    """Whether the list has it; None where it does not answer.  Raises NotKnown."""
    found = records(run, scope, question, RecordType.A)
    if isinstance(found, Failed):
        run.warn(f"{question}: RBL lookup error: {found.reason}")
        return None
    return isinstance(found, Answer) and any(listing.counts(str(address)) for address in found.records)


def _question(domain: str, listing: Listing) -> str:
    """For lists of domains; "" where such a list is not asked: literals, and names that end in a number."""
    name = to_ascii(without_dot(domain)) or ""
    if not name or name.startswith("[") or "." not in name or name.rpartition(".")[2].isdigit():
        return ""
    return f"{name}.{listing.domain}"


def _refuse(run: Run, scope: int, argument: str, listing: Listing, question: str, entity: str, what: str) -> Decision:
    settings = run.settings
    text = records(run, scope, question, RecordType.TXT)
    reason = ""
    if isinstance(text, Answer) and isinstance(text.records[0], bytes):
        reason = text.records[0].decode("utf-8", "replace")[:REASON_LIMIT]
    template = settings.rbl_reply
    if settings.rbl_reply_maps:
        order = tuple(dict.fromkeys(((argument, False), (listing.domain, False))))
        found = find(run, scope, settings.rbl_reply_maps, order, entity)
        template = found.value if found is not None else template
    values = {
        **session_macros(run.facts),
        "rbl_class": what,
        "rbl_code": str(settings.maps_rbl_reject_code),
        "rbl_domain": listing.domain,
        "rbl_reason": reason,
        "rbl_txt": reason,
        "rbl_what": entity,
    }
    try:
        reply = _REPLY.fullmatch(fill_in(template, values))
    except ValueError as error:
        run.warn(f"RBL reply for {listing.domain}: {error}")
        reply = None
    if reply is None:
        run.warn(f'RBL reply for {listing.domain}: "4XX text" or "5XX text" was expected, not "{template}"')
        return run.refuse(refusals.refusal(450, "4.7.1", refusals.UNAVAILABLE))
    status, why = refusals.split_status(reply[2], "5.7.1")
    return run.refuse(refusals.refusal(int(reply[1]), status, why))


def _reject_domain(run: Run, scope: int, argument: str, domain: str, entity: str, what: str) -> Decision:
    listing = parse_listing(argument)
    question = _question(domain, listing)
    if not question or not _listed(run, scope, listing, question):
        return None
    return _refuse(run, scope, argument, listing, question, entity, what)


def reject_rbl_client(run: Run, argument: str) -> Decision:
    """A client whose address is listed."""
    listing = parse_listing(argument)
    question = _address_question(run.facts.address, listing)
    if not question or not _listed(run, CONNECTION, listing, question):
        return None
    return _refuse(run, CONNECTION, argument, listing, question, run.facts.address, refusals.CLIENT)


def reject_rhsbl_client(run: Run, argument: str) -> Decision:
    """A client whose name is listed."""
    name = client_name(run).name
    return None if name == UNKNOWN else _reject_domain(run, CONNECTION, argument, name, name, refusals.CLIENT)


def reject_rhsbl_reverse_client(run: Run, argument: str) -> Decision:
    """A client whose unverified name is listed."""
    name = client_name(run).reverse_name
    if name == UNKNOWN:
        return None
    return _reject_domain(run, CONNECTION, argument, name, name, refusals.UNVERIFIED_CLIENT)


def reject_rhsbl_helo(run: Run, argument: str) -> Decision:
    """A name in HELO that is listed."""
    helo = run.facts.helo
    return _reject_domain(run, HELO, argument, helo, helo, refusals.HELO) if helo else None


def reject_rhsbl_sender(run: Run, argument: str) -> Decision:
    """A sender whose domain is listed."""
    facts = run.facts
    if not facts.sender:
        return None
    return _reject_domain(run, TRANSACTION, argument, domain_of(facts.sender), facts.given_sender, refusals.SENDER)


def reject_rhsbl_recipient(run: Run, argument: str) -> Decision:
    """A recipient whose domain is listed."""
    facts = run.facts
    if not facts.recipient:
        return None
    domain = domain_of(facts.recipient)
    return _reject_domain(run, RECIPIENT, argument, domain, facts.given_recipient, refusals.RECIPIENT)


def _permit(run: Run, listing: Listing, question: str, entity: str) -> Decision:
    if run.facts.recipient is not None and run.stage == "RCPT" and not authorized(run):
        return None
    listed = _listed(run, CONNECTION, listing, question)
    if listed is None:
        run.defer_if_reject(refusals.rejected(450, "4.7.1", entity, refusals.CLIENT, refusals.UNAVAILABLE))
    return PERMIT if listed else None


def permit_dnswl_client(run: Run, argument: str) -> Decision:
    """A client whose address is on a list of good ones; not for destinations that are none of ours."""
    listing = parse_listing(argument)
    question = _address_question(run.facts.address, listing)
    return _permit(run, listing, question, run.facts.address) if question else None


def permit_rhswl_client(run: Run, argument: str) -> Decision:
    """A client whose name is on a list of good ones; not for destinations that are none of ours."""
    listing = parse_listing(argument)
    name = client_name(run).name
    question = _question(name, listing) if name != UNKNOWN else ""
    return _permit(run, listing, question, name) if question else None
