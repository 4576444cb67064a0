"""`pillarbox dns [DOMAIN...]`: the DNS records that a domain with its mail here should have, ready to copy.

    pillarbox dns example.org                               # for the zone file of example.org
    pillarbox dns --policy [--mode enforce] example.org     # the file that MTA-STS wants at a web server

Without DOMAIN the hosted domains are taken.  What cannot be known here (the machine's public address, the web server)
stands in a comment.  Nothing is looked up.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
import sys
from collections.abc import Iterator, Sequence

from pillarbox.lib.accounts import AccountDatabase, AccountsError
from pillarbox.lib.address.domain import is_domain, normalize_domain
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_DATABASE
from pillarbox.lib.config.parameters.general import MYDOMAIN, MYHOSTNAME
from pillarbox.lib.config.parameters.lookup import RELAYHOST, VIRTUAL_MAILBOX_DOMAINS
from pillarbox.lib.smtp.sts_policy import Mode, parse_policy
from pillarbox.lib.tls.chains import configured_chains
from pillarbox.lib.tls.der import public_key_info

MAX_AGE: dict[Mode, int] = {"enforce": 2_592_000, "testing": 86_400, "none": 86_400}
"""Seconds: a month once it works, a day while it is tried (RFC 8461 section 3.2 recommends weeks for the former)."""

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def dns(config: Config, domains: Sequence[str], mode: Mode, *, policy_only: bool = False) -> int:
    """Print records, or the policy file; gives the exit status."""
    wanted = [normalize_domain(domain) for domain in domains] or _hosted(config)
    for domain in wanted:
        if not is_domain(domain) or "." not in domain:
            print(f"pillarbox dns: {domain} is no domain name", file=sys.stderr)
            return os.EX_USAGE
    host = normalize_domain(config[MYHOSTNAME])
    if policy_only:
        if len(wanted) != 1:
            print("pillarbox dns: --policy wants one domain", file=sys.stderr)
            return os.EX_USAGE
        print(policy_text(host, mode), end="")
        return os.EX_OK
    digests, notes = _certificates(config)
    relayed = bool(config[RELAYHOST])
    blocks = ["\n".join(records(domain, host, mode, digests, relayed=relayed)) for domain in wanted]
    print("\n\n".join([*blocks, "\n".join(notes)] if notes else blocks))
    return os.EX_OK


def policy_text(host: str, mode: Mode) -> str:
    """The MTA-STS policy of a domain whose mail goes to `host`."""
    return f"version: STSv1\nmode: {mode}\nmx: {host}\nmax_age: {MAX_AGE[mode]}\n"


def policy_id(text: str) -> str:
    """An id that changes when the policy does, and only then (RFC 8461 section 3.1)."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def records(domain: str, host: str, mode: Mode, digests: Sequence[str], *, relayed: bool = False) -> Iterator[str]:
    """The lines for one domain, in the form of a zone file (RFC 1035 section 5)."""
    text = policy_text(host, mode)
    parse_policy(domain, policy_id(text), text)  # what we advise must be right
    yield f"; --- {domain}: its mail comes here"
    yield _line(domain, "MX", f"10 {host}.")
    yield f"; {host}. needs an A record (and AAAA), and its address a PTR record that says {host}."
    yield ""
    yield "; who may send mail from the domain (SPF)" + ("; add what your relayhost advises" if relayed else "")
    yield _line(domain, "TXT", '"v=spf1 mx ~all"')
    yield ""
    yield "; where reports on TLS go (RFC 8460)"
    yield _line(f"_smtp._tls.{domain}", "TXT", f'"v=TLSRPTv1; rua=mailto:postmaster@{domain}"')
    yield ""
    yield f"; MTA-STS (RFC 8461): a web server at https://mta-sts.{domain}/ must have, as .well-known/mta-sts.txt, what"
    yield f'; "pillarbox dns --policy --mode {mode} {domain}" prints; publish this record when it does'
    yield _line(f"_mta-sts.{domain}", "TXT", f'"v=STSv1; id={policy_id(text)}"')
    if digests:
        yield ""
        yield f"; DANE (RFC 7672), only where the zone of {host} is signed (DNSSEC); change it BEFORE the key changes"
        for digest in digests:
            yield _line(f"_25._tcp.{host}", "TLSA", f"3 1 1 {digest}")


def _line(name: str, kind: str, data: str) -> str:
    return f"{name + '.':<32} IN {kind:<5} {data}"


def _hosted(config: Config) -> list[str]:
    """The hosted domains, those of accounts and those that the configuration names; else our own."""
    words = config[VIRTUAL_MAILBOX_DOMAINS]
    named = {normalize_domain(word) for word in words if is_domain(word)}
    if "accounts:" in words:
        with contextlib.suppress(AccountsError), AccountDatabase.open(config[AUTH_DATABASE]) as accounts:
            named |= {address.rpartition("@")[2] for address in accounts.addresses()}
    return sorted(named) or [normalize_domain(config[MYDOMAIN])]


def _certificates(config: Config) -> tuple[list[str], list[str]]:
    """The digests of our public keys (TLSA 3 1 1), and what is to be said about them."""
    digests: dict[str, None] = {}
    notes: list[str] = []
    for chain in configured_chains(config):
        try:
            with open(chain.certificate, encoding="ascii", errors="replace") as stream:
                certificates = _leaves(stream.read())
            for certificate in certificates:
                digests[hashlib.sha256(public_key_info(certificate)).hexdigest()] = None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            notes.append(f"; no TLSA record for {chain.certificate}: {reason}")
    if not digests and not notes:
        notes.append("; no TLSA record: there is no certificate (smtpd_tls_chain_files)")
    return list(digests), notes


def _leaves(text: str) -> list[bytes]:
    """The certificates of the server in a PEM file: the first, and each that follows a key."""
    found = []
    for part in text.split("PRIVATE KEY-----"):
        begin = part.find(_BEGIN)
        end = part.find(_END, begin)
        if 0 <= begin < end:
            found.append(ssl.PEM_cert_to_DER_cert(part[begin : end + len(_END)]))
    return found
