"""pillarbox dns: every line can be copied into a zone, and says what RFCs want."""

from __future__ import annotations

import os
from pathlib import Path

import dns.rdatatype
import dns.zone
import pytest

from pillarbox.commands.dns import MAX_AGE, policy_id, policy_text
from pillarbox.commands.pillarbox import main
from pillarbox.lib.accounts import AccountDatabase
from pillarbox.lib.smtp.sts_policy import Mode, parse_policy, parse_record
from pillarbox.tlsrpt.wish import wished_places
from tests.commands.running import Said, run
from tests.lab.certificates import Authority, Certificate


def said(instance: Path, *words: str) -> Said:
    return run(main, "-c", instance / "etc", "dns", *words)


def zone(text: str) -> dns.zone.Zone:
    """What a name server makes of the lines."""
    return dns.zone.from_text(f"$TTL 3600\n{text}", origin=".", relativize=False, check_origin=False)


def texts(records: dns.zone.Zone, name: str) -> list[bytes]:
    found = records.get_rdataset(name, dns.rdatatype.TXT)
    return [b"".join(record.strings) for record in found] if found else []


@pytest.fixture
def certificate(instance: Path) -> Certificate:
    made = Authority(instance / "ca").issue("mx.test")
    with (instance / "etc/main.yaml").open("a") as stream:
        stream.write(f"smtpd_tls_chain_files: {made.chain}\n")
    return made


def test_the_lines_are_a_zone(instance: Path, certificate: Certificate) -> None:
    result = said(instance, "example.org", "Ex\u00e4mple.org")
    assert result.status == os.EX_OK
    records = zone(result.out)
    for domain in ("example.org.", "xn--exmple-cua.org."):
        (mx,) = records.get_rdataset(domain, dns.rdatatype.MX)
        assert str(mx) == "10 mx.test."
        assert texts(records, domain) == [b"v=spf1 mx ~all"]
        assert parse_record(texts(records, f"_mta-sts.{domain}")) == policy_id(policy_text("mx.test", "testing"))
        assert wished_places(texts(records, f"_smtp._tls.{domain}")) == (f"mailto:postmaster@{domain[:-1]}",)
    (tlsa,) = records.get_rdataset("_25._tcp.mx.test.", dns.rdatatype.TLSA)
    assert str(tlsa) == f"3 1 1 {certificate.public_key_digest}"


@pytest.mark.parametrize("mode", ["testing", "enforce", "none"])
def test_the_policy_is_one(instance: Path, mode: Mode) -> None:
    result = said(instance, "--policy", "--mode", mode, "example.org")
    policy = parse_policy("example.org", "1", result.out)
    assert (policy.mode, policy.mx, policy.max_age) == (mode, ("mx.test",), MAX_AGE[mode])
    assert policy_id(result.out) in said(instance, "--mode", mode, "example.org").out


def test_the_id_changes_with_the_policy() -> None:
    ids = {policy_id(policy_text(host, mode)) for host in ("a.test", "b.test") for mode in MAX_AGE}
    assert len(ids) == 6 and all(identity.isalnum() and len(identity) <= 32 for identity in ids)


def test_without_a_domain_the_hosted_ones_are_taken(instance: Path) -> None:
    main_yaml = instance / "etc/main.yaml"
    main_yaml.write_text(main_yaml.read_text().replace("mydomain: test", "mydomain: own.test"))
    assert "\n_mta-sts.own.test." in said(instance).out
    (instance / "state").mkdir()
    with AccountDatabase.open(str(instance / "state/accounts.sqlite"), create=True) as accounts:
        accounts.add("a@hosted.example", "password")
    with (instance / "etc/main.yaml").open("a") as stream:
        stream.write("virtual_mailbox_domains: [named.example, 'accounts:', 'inline:{x=y}']\n")
    out = said(instance).out
    assert [line.split()[2] for line in out.splitlines() if line.startswith("; ---")] == [
        "hosted.example:",
        "named.example:",
    ]


def test_why_there_is_no_tlsa_record(instance: Path) -> None:
    assert "; no TLSA record: there is no certificate" in said(instance, "example.org").out
    with (instance / "etc/main.yaml").open("a") as stream:
        stream.write("smtpd_tls_chain_files: /nonexistent.pem\n")
    result = said(instance, "example.org")
    assert "; no TLSA record for /nonexistent.pem: No such file" in result.out
    zone(result.out)


@pytest.mark.parametrize(
    "words", [["nonsense"], ["a..b"], ["[192.0.2.1]"], ["x\ny.test"], ["--policy", "a.test", "b.test"]]
)
def test_what_is_no_question(instance: Path, words: list[str]) -> None:
    result = said(instance, *words)
    assert (result.status, result.out) == (os.EX_USAGE, "")
    assert result.err.startswith("pillarbox dns: ")
