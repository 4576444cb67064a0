"""A certificate per name (SNI)."""

from __future__ import annotations

import contextlib
import ssl
import sys
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.log import log
from pillarbox.lib.process.worker import _unraisable
from pillarbox.lib.tls import ServerRole, TlsError, certificate_files, server_context, tls_facts
from pillarbox.lib.tls.names import name_of
from tests.tls.authority import Authority, Issued
from tests.tls.handshakes import client, shake


class Site:
    """An authority, a default certificate, and certificates for two more names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.default = self.issue("mail.example.com")
        self.org = self.issue("mail.example.org")
        self.below = self.issue("*.below.example", file="below")

    def issue(self, host: str, file: str = "", kind: str = "ecdsa") -> Issued:
        return self.authority.issue(host, hosts=(host,), file=file, kind=kind)

    def config(self, maps: str, **values: str) -> Config:
        default = self.default
        return Config.for_tests(
            smtpd_tls_cert_file=default.cert_file,
            smtpd_tls_key_file=default.key_file,
            tls_server_sni_maps=maps,
            **values,
        )

    def context(self, maps: str) -> ssl.SSLContext:
        context = server_context(self.config(maps))
        assert context is not None
        return context


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def served(site: Site, context: ssl.SSLContext, name: str | None) -> bytes:
    """The certificate that a client gets."""
    near, _ = shake(context, client(), name)
    certificate = near.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def table(site: Site) -> str:
    return f"inline:{{ {{mail.example.org = {site.org.chain_file}}}, {{.below.example = {site.below.chain_file}}} }}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mail.example.org", "org"),
        ("MAIL.Example.ORG", "org"),
        ("mail.example.com", "default"),
        ("elsewhere.example", "default"),
        ("a.below.example", "below"),
        ("b.a.below.example", "below"),
        ("below.example", "default"),
        (None, "default"),
    ],
)
def test_each_name_gets_its_certificate(site: Site, name: str | None, expected: str) -> None:
    assert served(site, site.context(table(site)), name) == getattr(site, expected).der


def test_a_client_that_checks_is_content(site: Site) -> None:
    for name in ("mail.example.com", "mail.example.org", "x.below.example"):
        shake(site.context(table(site)), client(site.authority.file), name)


def test_the_session_says_for_which_name_it_is(site: Site) -> None:
    context = site.context(table(site))
    assert tls_facts(shake(context, client(), "Mail.Example.org")[1], "sha256").name == "mail.example.org"
    assert tls_facts(shake(context, client(), "unknown.example")[1], "sha256").name == ""
    assert tls_facts(shake(context, client())[1], "sha256").name == ""


def test_the_table_may_be_a_text_file(site: Site) -> None:
    file = site.folder / "sni"
    file.write_text(f"# names\nmail.example.org {site.org.chain_file}\n.below.example\n  {site.below.chain_file}\n")
    context = site.context(f"texthash:{file}")
    assert served(site, context, "mail.example.org") == site.org.der
    assert served(site, context, "a.below.example") == site.below.der


def test_a_directory_of_chain_files(site: Site) -> None:
    folder = site.folder / "names"
    folder.mkdir()
    (folder / "mail.example.org.pem").write_text(Path(site.org.chain_file).read_text())
    (folder / "_.below.example.pem").write_text(Path(site.below.chain_file).read_text())
    (folder / "README").write_text("not a certificate")
    context = site.context(f"directory:{folder}")
    assert served(site, context, "mail.example.org") == site.org.der
    assert served(site, context, "a.below.example") == site.below.der


def test_a_directory_as_certbot_writes_it(site: Site) -> None:
    live = site.folder / "live"
    (live / "mail.example.org").mkdir(parents=True)
    (live / "empty.example").mkdir()
    (live / "mail.example.org" / "fullchain.pem").write_text(Path(site.org.cert_file).read_text())
    (live / "mail.example.org" / "privkey.pem").write_text(Path(site.org.key_file).read_text())
    context = site.context(f"directory:{live}")
    assert served(site, context, "mail.example.org") == site.org.der
    assert served(site, context, "empty.example") == site.default.der


def test_a_name_may_have_several_algorithms(site: Site) -> None:
    rsa = site.issue("mail.example.org", file="rsa", kind="rsa")
    context = site.context(f"inline:{{ {{ mail.example.org = {site.org.chain_file} {rsa.chain_file} }} }}")
    old = client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    near, _ = shake(context, old, "mail.example.org")
    assert near.getpeercert(binary_form=True) == rsa.der
    assert served(site, context, "mail.example.org") == site.org.der


def test_names_have_the_settings_of_the_service(site: Site) -> None:
    config = site.config(table(site), smtpd_tls_CAfile=str(site.authority.file))
    context = server_context(config, ServerRole(asks=True, alpn=("smtp",)))
    assert context is not None
    for name in ("mail.example.org", "mail.example.com"):
        shown = site.authority.issue("client.example", client=True)
        connecting = client(chain=(shown.cert_file, shown.key_file))
        connecting.set_alpn_protocols(["smtp"])
        near, server = shake(context, connecting, name)
        certificate = tls_facts(server, "sha256").certificate
        assert certificate is not None
        assert certificate.trusted
        assert near.selected_alpn_protocol() == "smtp"


def test_mistakes_are_named(site: Site) -> None:
    for maps, what in (
        ("inline:{mail.example.org=/nonexistent/x.pem}", "/nonexistent/x.pem: No such file"),
        (f"inline:{{not/a/name={site.org.chain_file}}}", '"not/a/name" is no host name'),
        ("directory:/nonexistent", "cannot read /nonexistent"),
        ("texthash:/nonexistent/sni", "tls_server_sni_maps"),
        ("nonsense:x", "tls_server_sni_maps"),
        ("regexp:/nonexistent", "tls_server_sni_maps"),
    ):
        with pytest.raises(TlsError, match=what):
            site.context(maps)


def test_all_files_are_known_to_whoever_watches_them(site: Site) -> None:
    sni = site.folder / "sni"
    sni.write_text(f"mail.example.org {site.org.chain_file}\n")
    files = certificate_files(site.config(f"texthash:{sni}"), ServerRole())
    assert set(files) == {site.default.cert_file, site.default.key_file, str(sni), site.org.chain_file}
    assert certificate_files(site.config(f"texthash:{sni}"), None) == ()


def asked(context: ssl.SSLContext, name: bytes) -> ssl.SSLObject:
    """The server's end after a ClientHello with any bytes as the name; raises ssl.SSLError where it refuses them."""
    stand_in = "a" * (len(name) - 8) + ".example"
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client().wrap_bio(to_client, to_server, server_hostname=stand_in)
    with pytest.raises(ssl.SSLWantReadError):
        near.do_handshake()
    hello = to_server.read()
    assert stand_in.encode() in hello
    to_server.write(hello.replace(stand_in.encode(), name))
    far = context.wrap_bio(to_server, to_client, server_side=True)
    with contextlib.suppress(ssl.SSLWantReadError):
        far.do_handshake()
    return far


@pytest.mark.parametrize(
    "name", [b"evil\r\nwarning: x.below.example", b" .below.example", b"x..below.example", b"..........", b"*" * 20]
)
def test_what_is_no_host_name_finds_no_wildcard_and_reaches_no_log(site: Site, name: bytes) -> None:
    assert name_of(asked(site.context(table(site)), name)) == ""
    assert name_of(asked(site.context(table(site)), b"good.below.example")) == "good.below.example"


def test_a_name_that_is_not_ascii_fails_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python reports it where no exception can go; a worker keeps that out of its output."""
    monkeypatch.setattr(sys, "unraisablehook", _unraisable)
    context = site.context(table(site))
    with log.capture() as lines, pytest.raises(ssl.SSLError):
        asked(context, b"\xff" * 12)
    assert lines == []
    assert served(site, context, "mail.example.org") == site.org.der


def test_other_things_that_cannot_be_raised_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", _unraisable)

    class Bad:
        def __del__(self) -> None:
            raise ValueError("a\nb")

    with log.capture() as lines:
        Bad()
    assert len(lines) == 1
    assert "ValueError: a" in lines[0]
    assert "\n" not in lines[0]
