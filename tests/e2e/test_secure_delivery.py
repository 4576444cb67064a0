"""DANE and DNSSEC with everything real but the Internet: signed zones, Postfix, Exim, Unbound, and the whole suite.

Two instances send the same mail: one validates itself, one believes an Unbound on this machine; posttls-finger of
Debian's Postfix, which asks that Unbound too, is a third opinion on every server.  Needs root.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.lab.dns import DnsServer, resolv_conf
from tests.lab.instance import Instance
from tests.lab.ports import loopback_address
from tests.lab.sinks import SmtpSink
from tests.peers.exim import Exim
from tests.peers.install import peer
from tests.peers.postfix import Postfix
from tests.peers.unbound import Unbound

BOB, PAT, XENIA = "bob@example.org", "pat@postfix.example", "xenia@exim.example"

_number = itertools.count()

# domain: what the log says of a delivery there, or "" where there must be none
EXPECTED = {
    "postfix.example": "dane",
    "exim.example": "dane",
    "authority.example": "dane",
    "aliased.example": "dane",
    "island.example": "may",
    "unlisted.example": "may",
    "unusable.example": "encrypt/dane",
    "wrong.example": "",
    "stripped.example": "",
    "bogus.example": "",
    "denied.example": "",
}


@dataclass(frozen=True, slots=True)
class World:
    dns: DnsServer
    unbound: Unbound
    postfix: Postfix
    exim: Exim
    sinks: dict[str, SmtpSink]
    instances: dict[str, Instance]
    folder: Path

    def send(self, way: str, domain: str) -> str:
        """A mark in a message that was handed in for a domain."""
        mark = f"mark-{next(_number)}"
        recipient = {"postfix.example": PAT, "exim.example": XENIA}.get(domain, f"x@{domain}")
        message = f"From: {BOB}\nTo: {recipient}\nSubject: {mark}\n\nx\n"
        self.instances[way].run(["sendmail", "-f", BOB, recipient], input=message, check=True)
        return mark

    def line(self, way: str, domain: str) -> str:
        """What the log says of the delivery to a domain."""
        mail = self.instances[way]
        pattern = rf"to=<\S+@{re.escape(domain)}>, .*status="
        before = len(mail.log_matching(pattern))
        self.send(way, domain)
        mail.wait_for(lambda: len(mail.log_matching(pattern)) > before, 60)
        return mail.log_matching(pattern)[-1]

    def finger(self, domain: str, *more: str) -> str:
        """What posttls-finger says."""
        conf = self.folder / "resolv.conf"
        conf.write_text(resolv_conf([self.unbound.address]))
        tools = peer("postfix")
        finger = tools.command(["posttls-finger", "-t", "10", "-l", "dane", "-L", "summary", *more, domain])
        bind = f'mount --bind {conf} /etc/resolv.conf && exec "$0" "$@"'
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", bind, *finger],
            env=tools.environment({"MAIL_CONFIG": str(self.postfix.config)}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout + done.stderr


@pytest.fixture(scope="module", params=[False, True], ids=["nsec", "nsec3"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("secure")
    authority = Authority(folder / "ca")
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        postfix = enter(Postfix(hostname="mx.postfix.example", mailboxes=[PAT], authority=authority))
        exim = enter(Exim(hostname="mx.exim.example", mailboxes=[XENIA], authority=authority))
        assert postfix.certificate is not None
        assert exim.certificate is not None
        sinks = {}
        for name in EXPECTED:
            if name in ("postfix.example", "exim.example"):
                continue
            certificate = authority.issue(f"mx.{name}")
            if name == "authority.example":
                certificate.chain.write_bytes(certificate.chain.read_bytes() + authority.certificate.read_bytes())
            offered = None if name == "stripped.example" else certificate
            sinks[name] = enter(SmtpSink(address=loopback_address(), port=25, certificate=offered))
        addresses = {name: sink.address for name, sink in sinks.items()}
        addresses |= {"postfix.example": postfix.address, "exim.example": exim.address}
        zone = ""
        for name, address in addresses.items():
            host = "alias.aliased.example" if name == "aliased.example" else f"mx.{name}"
            zone += f"{name}. MX 10 {host}.\nmx.{name}. A {address}\n"
        zone += "alias.aliased.example. CNAME mx.aliased.example.\n"
        zeros = "00" * 32

        def tlsa(name: str, record: str) -> str:
            return f"_25._tcp.mx.{name}. TLSA {record}\n"

        def good(name: str) -> str:
            certificate = sinks[name].certificate
            assert certificate is not None
            return tlsa(name, f"3 1 1 {certificate.public_key_digest}")

        zone += tlsa("postfix.example", f"3 1 1 {postfix.certificate.public_key_digest}")
        zone += tlsa("exim.example", f"3 0 1 {exim.certificate.fingerprint}")
        zone += tlsa("authority.example", f"2 0 1 {_digest(authority)}")
        zone += good("aliased.example") + good("bogus.example") + tlsa("unusable.example", f"1 1 1 {zeros}")
        zone += "".join(tlsa(f"{name}.example", f"3 1 1 {zeros}") for name in ("island", "wrong", "stripped"))
        dns = enter(
            DnsServer(zone, signed=[name for name in EXPECTED if name != "island.example"], nsec3=request.param)
        )
        dns.delegate("island.example", ds="missing")
        dns.spoil("_25._tcp.mx.bogus.example", "bogus", "TLSA")
        dns.spoil("_25._tcp.mx.denied.example", "stripped", "TLSA")
        unbound = enter(Unbound(dns, address=loopback_address(), port=53))
        anchors = folder / "anchors"
        anchors.write_text(dns.trust_anchor() + "\n")
        anchors.chmod(0o644)
        folder.chmod(0o755)
        common = {
            "smtp_tls_security_level": "dane",
            "smtp_tls_loglevel": "1",
            "smtp_log_tls_feature_status": "yes",
            "smtp_mta_sts": "no",
            "inet_protocols": "ipv4",
            "maximal_queue_lifetime": "1h",
        }
        local = {"dns_resolver": dns.resolver, "dnssec_trust_anchors": str(anchors)}
        believing = {"dns_resolver": unbound.resolver, "dnssec_validation": "resolver"}
        instances = {
            "local": enter(Instance(users={BOB: "secret"}, settings={**common, **local})),
            "resolver": enter(Instance(users={BOB: "secret"}, settings={**common, **believing})),
        }
        yield World(dns, unbound, postfix, exim, sinks, instances, folder)


@pytest.mark.parametrize("domain", EXPECTED)
@pytest.mark.parametrize("way", ["local", "resolver"])
def test_delivery(world: World, way: str, domain: str) -> None:
    line = world.line(way, domain)
    expected = EXPECTED[domain]
    if expected:
        assert "status=sent" in line, line
        assert f"tls={expected}, " in line
    else:
        assert "status=deferred" in line, line
        assert not world.sinks[domain].messages, "nothing may go out"
    if domain in world.sinks:
        assert all(message.tls for message in world.sinks[domain].messages)


@pytest.mark.parametrize("domain", EXPECTED)
def test_posttls_finger_agrees(world: World, domain: str) -> None:
    said = world.finger(domain)
    match EXPECTED[domain]:
        case "dane":
            assert re.search(r"Verified TLS connection established to ", said), said
        case "may" | "encrypt/dane":
            assert re.search(r"(Untrusted|Anonymous) TLS connection established to ", said), said
        case _:
            assert "Verified TLS connection" not in said, said


def test_the_log_says_who_was_verified(world: World) -> None:
    mail = world.instances["local"]
    world.line("local", "postfix.example")
    host = re.escape(f"mx.postfix.example[{world.postfix.address}]:25")
    assert mail.log_matching(rf"smtp\[\d+\]: Verified TLS connection established to {host}: TLSv1\.3 with cipher ")


def test_nothing_unforeseen_was_logged(world: World) -> None:
    for mail in world.instances.values():
        assert mail.log_matching(r"\]: (panic|fatal|error): |Traceback") == []


def _digest(authority: Authority) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    return x509.load_pem_x509_certificate(authority.certificate.read_bytes()).fingerprint(hashes.SHA256()).hex()
