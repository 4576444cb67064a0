"""Certificates of a running suite: names, renewal under load, tickets between processes, and what check finds."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.wire import ALICE, BOB, PASSWORD, Dialogue, only
from tests.lab.instance import Instance
from tests.lab.processes import children, title
from tests.peers import peer
from tests.tls.authority import Authority, Issued

HOST, OTHER = "mx.example.org", "mail.example.net"
USERS = {ALICE: PASSWORD, BOB: PASSWORD}

PORTS = {
    "smtp": "smtp",
    "submission": "smtp",
    "lmtp": "lmtp",
    "imap": "imap",
    "pop3": "pop3",
    "submissions": "",
    "imaps": "",
    "pop3s": "",
}
"""Every TLS port of the shipped master.yaml, and what STARTTLS is called there."""


DOOR = re.compile(r"pillarbox: (smtpd|imap-login|pop3-login)\b")


class Site:
    """An instance whose certificates an authority has signed."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.mail = Instance(
            hostname=HOST,
            users=USERS,
            settings={
                "smtpd_tls_chain_files": [str(folder / "live.pem")],
                "tls_server_sni_maps": [f"directory:{folder / 'names'}"],
                "smtpd_tls_CAfile": str(self.authority.file),
                "tls_certificate_check_interval": "0.1s",
                "auth_failure_delay": "0s",
            },
        )
        self.live, self.names = folder / "live.pem", folder / "names"
        self.names.mkdir()
        self._earlier: set[int] = set()
        self.own = self.issue()
        self.put(self.own)
        self.other = self.authority.issue(OTHER, hosts=(OTHER,))
        shutil.copy(self.other.chain_file, self.names / f"{OTHER}.pem")

    def issue(self, **more: object) -> Issued:
        return self.authority.issue(HOST, hosts=(HOST, "localhost"), **more)  # type: ignore[arg-type]

    def put(self, issued: Issued) -> None:
        """Into the place that the configuration names, as a careful administrator does it."""
        unfinished = self.live.with_suffix(".new")
        shutil.copy(issued.chain_file, unfinished)
        unfinished.rename(self.live)

    def renew(self) -> None:
        """Let there be another good certificate; `settled` waits until every process shows it."""
        self.own = self.issue()
        self._earlier = self._doors()
        self.put(self.own)

    @property
    def changed(self) -> bool:
        """Whether something else than the good certificate is stored."""
        return not self.live.exists() or self.live.read_bytes() != Path(self.own.chain_file).read_bytes()

    def settled(self) -> None:
        """Wait until every port shows the certificate, and nobody takes a connection who has an earlier one."""
        for service in PORTS:
            self.mail.wait_for(lambda service=service: self.served(service) == self.own.der)
        self.mail.wait_for(lambda: not self._doors() & self._earlier)

    def _doors(self) -> set[int]:
        """The processes that take connections, and those that have only just begun and may come to that."""
        master = self.mail.master_pid()
        own = title(master)
        return {
            pid
            for pid in children(master)
            if (text := title(pid)) == own or (DOOR.match(text) and not text.endswith("(retired)"))
        }

    def reload(self) -> None:
        """Reload, and wait until it has happened."""
        before = len(self.mail.log_matching(r"master\[\d+\]: reload -- "))
        self.mail.reload()
        self.mail.wait_for(lambda: len(self.mail.log_matching(r"master\[\d+\]: reload -- ")) > before)

    def openssl(self, service: str, name: str = HOST, *options: str) -> str:
        """What `openssl s_client` says of a port."""
        starttls = ["-starttls", PORTS[service]] if PORTS[service] else []
        where = f"127.0.0.1:{self.mail.port(service)}"
        trust = ["-CAfile", str(self.authority.file)]
        asked = ["-servername", name] if name else ["-noservername"]
        done = peer("openssl").run(["openssl", "s_client", "-connect", where, *starttls, *trust, *asked, *options])
        return str(done.stdout)

    def served(self, service: str, name: str = HOST) -> bytes:
        shown = self.openssl(service, name)
        match = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", shown, re.DOTALL)
        assert match, shown
        return ssl.PEM_cert_to_DER_cert(match[0])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("certificates"))
    with made.mail:
        yield made


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    """A running instance with a good certificate; tests may change what is stored."""
    yield shared
    if shared.changed:
        shared.renew()
        shared.settled()


# --- every port, every name
@pytest.mark.parametrize("service", PORTS)
def test_every_port_shows_the_certificate_for_the_name(site: Site, service: str) -> None:
    assert site.served(service) == site.own.der
    assert site.served(service, "") == site.own.der
    assert site.served(service, OTHER) == site.other.der
    assert "Verify return code: 0 (ok)" in site.openssl(service, OTHER, "-verify_hostname", OTHER)


@pytest.mark.parametrize("service", ["submissions", "imaps", "pop3s"])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_is_resumed_by_the_same_service_only(site: Site, service: str, version: str) -> None:
    # Tickets of TLS 1.3 come after the handshake: the greeting is waited for.
    first = context(version)
    with connected(site, service, first) as stream:
        stream.recv(1)
        session = stream.session
    for other in ("submissions", "imaps", "pop3s"):
        with connected(site, other, first, session) as stream:
            stream.recv(1)
            assert bool(stream.session_reused) == (other == service), (service, other)


def context(version: str = "") -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if version == "-tls1_2":
        made.maximum_version = ssl.TLSVersion.TLSv1_2
    return made


def connected(
    site: Site, service: str, with_context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    plain = site.mail.connect(service)
    plain.settimeout(30)
    return with_context.wrap_socket(plain, server_hostname=HOST, session=session)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_ticket_of_one_process_is_taken_by_another(site: Site, version: str) -> None:
    """Sessions are begun and resumed until a process has resumed what another one had begun."""
    made = context(version)
    session = None
    for _ in range(40):
        # Two at once: one process is busy with the first while the second comes.
        streams = [connected(site, "submissions", made, session) for _ in range(4)]
        for stream in streams:
            stream.recv(1)
            assert session is None or stream.session_reused
        session = streams[-1].session
        for stream in streams:
            stream.close()
        if len(served_by(site)) > 1:
            return
        force_second_process(site)
    raise AssertionError("only one process ever served")


def served_by(site: Site) -> set[str]:
    return set(re.findall(r"submissions/smtpd\[(\d+)\]: connect from", "\n".join(site.mail.log_lines())))


def force_second_process(site: Site) -> None:
    """A reload puts another process in its place, with the same keys."""
    site.reload()


# --- what is said in clear text before the handshake (CVE-2011-0411)
LOGIN = f'LOGIN "{ALICE}" "{PASSWORD}"'
INJECTED = {
    "smtp": (
        b"EHLO c.test",
        b"STARTTLS",
        b"MAIL FROM:<evil@example.com>",
        b"RCPT TO:<x@example.org>",
        rb"^503 5\.5\.1",
    ),
    "lmtp": (
        b"LHLO c.test",
        b"STARTTLS",
        b"MAIL FROM:<evil@example.com>",
        b"RCPT TO:<x@example.org>",
        rb"^503 5\.5\.1",
    ),
    "imap": (b"a NOOP", b"b STARTTLS", b"c " + LOGIN.encode(), b"d SELECT INBOX", rb"^d (NO|BAD)"),
    "pop3": (b"CAPA", b"STLS", b"USER " + ALICE.encode(), b"PASS " + PASSWORD.encode(), rb"^-ERR"),
}
"""First command, the one that begins TLS, what is injected behind it, what would follow from it, how it is refused."""


@pytest.mark.parametrize("service", INJECTED)
def test_commands_injected_before_the_handshake_are_thrown_away(site: Site, service: str) -> None:
    first, begin, injected, following, refused = INJECTED[service]
    with Dialogue(site.mail, service) as client:
        client.until(rb"^(220 |\* OK|\+OK)")
        client.ask(first, rb"^(250 |a OK|\.$)")
        client.send(begin + b"\r\n" + injected + b"\r\n")
        client.until(rb"^(220 |b OK|\+OK)")
        client.socket = context().wrap_socket(client.socket)
        client.send(following + b"\r\n")
        # The first thing that comes is the answer to this one: there is none to what was injected.
        assert re.search(refused, client.line())


@pytest.mark.parametrize("service", INJECTED)
def test_commands_injected_behind_the_reply_end_the_connection(site: Site, service: str) -> None:
    first, begin, injected, _, _ = INJECTED[service]
    with Dialogue(site.mail, service) as client:
        client.until(rb"^(220 |\* OK|\+OK)")
        client.ask(first, rb"^(250 |a OK|\.$)")
        client.send(begin + b"\r\n")
        client.until(rb"^(220 |b OK|\+OK)")
        client.send(injected + b"\r\n")
        assert re.search(rb"^(250|503|c |\+OK|-ERR)", client.rest()) is None


# --- renewal
def test_sessions_go_on_while_a_new_certificate_comes(site: Site) -> None:
    with (
        Dialogue(site.mail, "smtp") as smtp,
        Dialogue(site.mail, "imap") as imap,
        Dialogue(site.mail, "pop3") as pop3,
    ):
        smtp.until(rb"^220 ")
        for command in (b"EHLO c.test", b"MAIL FROM:<carol@example.com>", b"RCPT TO:<%s>" % BOB.encode(), b"DATA"):
            smtp.ask(command)
        smtp.send(b"Subject: over-renewal\r\n\r\nfirst half\r\n")
        imap.until(rb"^\* OK")
        pop3.until(rb"^\+OK")
        old = site.own.der
        site.renew()
        site.settled()
        assert site.served("smtp") != old
        assert smtp.ask(b"over-renewal second half\r\n.").startswith(b"250 2.0.0 Ok: queued as ")
        assert smtp.ask(b"NOOP").startswith(b"250 ")
        assert smtp.ask(b"QUIT").startswith(b"221 ")
        assert imap.ask(b"a NOOP", rb"^a ").startswith(b"a OK")
        assert pop3.ask(b"CAPA", rb"^\.$") == b"."
    content = only(lambda: [each for each in site.mail.mailbox(BOB) if b"over-renewal" in each], site.mail)
    assert b"first half\nover-renewal second half" in content


def test_a_logged_in_session_under_tls_goes_on_too(site: Site) -> None:
    made = context()
    with connected(site, "imaps", made) as stream:
        reader = stream.makefile("rb")
        assert reader.readline().startswith(b"* OK")
        stream.sendall(b'a LOGIN "%s" "%s"\r\n' % (ALICE.encode(), PASSWORD.encode()))
        while not (line := reader.readline()).startswith(b"a "):
            assert line
        assert line.startswith(b"a OK")
        site.renew()
        site.settled()
        site.reload()
        stream.sendall(b"b SELECT INBOX\r\n")
        while not (line := reader.readline()).startswith(b"b "):
            assert line and not line.startswith(b"* BYE")
        assert line.startswith(b"b OK")


def test_a_name_that_is_added_is_served_without_a_reload(site: Site) -> None:
    """As a chain file, and as the folder that certbot makes, which gets its files one after the other."""
    file, folder = site.names / "added.example.pem", site.names / "certbot.example"
    added, later = (site.authority.issue(name, hosts=(name,)) for name in ("added.example", "certbot.example"))
    try:
        shutil.copy(added.chain_file, file)
        folder.mkdir()
        site.mail.wait_for(lambda: site.served("imap", "added.example") == added.der)
        shutil.copy(later.key_file, folder / "privkey.pem")
        shutil.copy(later.cert_file, folder / "fullchain.pem")
        site.mail.wait_for(lambda: site.served("submission", "certbot.example") == later.der)
        assert site.served("submission", OTHER) == site.other.der
    finally:
        file.unlink()
        shutil.rmtree(folder)


def test_a_broken_certificate_changes_nothing_and_is_said_once(site: Site) -> None:
    before = site.served("submissions")
    pattern = r"master\[\d+\]: error: new certificate not used, the old one stays \(smtpd, submission, "
    for times in (1, 2):  # the second shows that master has looked again at the first
        unfinished = site.live.with_suffix(".new")
        unfinished.write_bytes(b"garbage %d\n" % times)
        unfinished.rename(site.live)
        site.mail.wait_for(lambda times=times: len(site.mail.log_matching(pattern)) >= times)
        assert site.served("submissions") == before
    lines = site.mail.log_matching(pattern)
    assert len(lines) == 2
    assert str(site.live) in lines[0]


# --- check
def checked(site: Site) -> subprocess.CompletedProcess[str]:
    return site.mail.run(["pillarbox", "check"])


def test_check_says_that_every_port_shows_what_is_stored(site: Site) -> None:
    done = checked(site)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(
        r"^pillarbox: the stored certificates are shown on all TLS ports \(9\);"
        r" the first certificate expires on \d{4}-\d\d-\d\d$",
        done.stdout,
        re.MULTILINE,
    )


def test_check_finds_ports_that_show_an_old_certificate(site: Site) -> None:
    site.mail.set("tls_certificate_check_interval", "0")
    site.reload()

    def everything_is_old() -> str:
        """A process that the reload has only just started may have read what is written here: then once more."""
        site.renew()
        shutil.copy(site.authority.issue(OTHER, hosts=(OTHER,)).chain_file, site.names / f"{OTHER}.pem")
        done = checked(site)
        return done.stderr if done.returncode == 78 and done.stderr.count("shows another certificate") == 18 else ""

    try:
        site.mail.wait_for(everything_is_old)
        said = everything_is_old()
        for service, port in (("smtpd", "smtp"), ("submissions", "submissions"), ("imap-login", "imap")):
            where = f"pillarbox: {service} (port {site.mail.port(port)}): shows another certificate"
            assert f"{where} than the one in {site.live}: one for {HOST}, localhost that expires on " in said
            assert f"{where} for {OTHER} than the one in {site.names / OTHER}.pem" in said
    finally:
        site.mail.set("tls_certificate_check_interval", "0.1s")
        site.other = site.authority.issue(OTHER, hosts=(OTHER,))
        shutil.copy(site.other.chain_file, site.names / f"{OTHER}.pem")
        site.reload()
        site.settled()


def test_check_speaks_to_ports_behind_a_proxy_too(site: Site) -> None:
    site.mail.set("smtpd_upstream_proxy_protocol", "haproxy")
    site.mail.set("smtpd_upstream_proxy_hosts", "127.0.0.1")
    site.reload()
    try:
        site.mail.wait_for(lambda: "on all TLS ports (9)" in checked(site).stdout)
    finally:
        site.mail.set("smtpd_upstream_proxy_protocol", "")
        site.reload()
    site.mail.wait_for(lambda: "on all TLS ports (9)" in checked(site).stdout)


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ((-90, -2), "the certificate expired on "),
        ((1, 90), "the certificate is not valid before "),
        ((-60, 10.5), "the certificate expires in 10 days, on "),
    ],
)
def test_check_finds_certificates_out_of_their_time(site: Site, days: tuple[float, float], said: str) -> None:
    site.put(site.issue(days=days))
    done = checked(site)
    assert done.returncode == 78
    assert f"pillarbox: {site.live}: {said}" in done.stderr


def test_check_finds_a_certificate_for_another_name(site: Site) -> None:
    site.put(site.authority.issue("wrong", hosts=("wrong.example", "*.example.com")))
    wrong = site.names / "third.example.pem"
    shutil.copy(site.other.chain_file, wrong)
    try:
        done = checked(site)
    finally:
        wrong.unlink()
    assert done.returncode == 78
    assert (
        f"pillarbox: {site.live}: the certificate is for wrong.example, *.example.com, but myhostname is {HOST}\n"
        in done.stderr
    )
    assert (
        f"pillarbox: {wrong}: the certificate is for {OTHER}, but tls_server_sni_maps shows it for third.example\n"
        in done.stderr
    )


def test_check_names_a_file_that_is_gone(site: Site) -> None:
    site.live.unlink()
    done = checked(site)
    assert done.returncode == 78
    assert f"cannot read the certificate or key {site.live}: No such file or directory" in done.stderr


# --- real clients
def test_the_log_of_a_login_names_version_and_cipher(site: Site) -> None:
    with connected(site, "imaps", context()) as stream:
        stream.sendall(f"a {LOGIN}\r\nb LOGOUT\r\n".encode())
        while stream.recv(4096):
            continue
    pattern = r"imap-login: Login: user=<alice@example\.org>, .*, TLS, TLSv1\.3 with cipher TLS_\w+ \(\d+/\d+ bits\)$"
    site.mail.wait_for(lambda: site.mail.log_matching(pattern))


def test_swaks_shows_its_certificate_and_is_trusted(site: Site) -> None:
    site.mail.set("smtpd_tls_ask_ccert", "yes")
    site.reload()
    shown = site.authority.issue("swaks.example", client=True)
    options = ["--tls", "--tls-cert", shown.cert_file, "--tls-key", shown.key_file, "--tls-sni", OTHER]
    command = ["swaks", "--server", "127.0.0.1", "--port", str(site.mail.port("smtp")), "--helo", "client.test"]
    try:
        site.mail.wait_for(lambda: asks(site))
        peer("swaks").run(
            [*command, "--from", "a@example.com", "--to", BOB, "--body", "from-swaks", *options], check=True
        )
        content = only(lambda: [each for each in site.mail.mailbox(BOB) if b"from-swaks" in each], site.mail)
    finally:
        site.mail.set("smtpd_tls_ask_ccert", "no")
        site.reload()
    assert b'\n\t(Client CN "swaks.example", Issuer "Test Authority" (verified OK))\n' in content
    assert b"key-exchange X25519 server-signature ECDSA (P-256) server-digest SHA256" in content
    assert site.mail.log_matching(
        r"smtpd\[\d+\]: Trusted TLS connection established from localhost\[127\.0\.0\.1\] to mail\.example\.net: TLSv1"
    )


def asks(site: Site) -> bool:
    """Whether the port asks for a client certificate."""
    return "Requested Signature Algorithms" in site.openssl("smtp")


def test_curl_checks_the_name(site: Site) -> None:
    url = f"smtps://{HOST}:{site.mail.port('submissions')}"
    command = ["curl", "-sS", "--cacert", str(site.authority.file), "--resolve"]
    where = f":{site.mail.port('submissions')}:127.0.0.1"
    good = peer("curl").run([*command, HOST + where, url, "-X", "NOOP"])
    assert good.returncode == 0, good.stderr
    bad = peer("curl").run([*command, "wrong.example" + where, url.replace(HOST, "wrong.example"), "-X", "NOOP"])
    assert bad.returncode == 60, bad.stderr


def test_old_versions_and_bad_ciphers_are_refused(site: Site) -> None:
    for options in (["-tls1_1", "-cipher", "ALL@SECLEVEL=0"], ["-tls1_2", "-cipher", "aNULL@SECLEVEL=0"]):
        assert "Cipher is (NONE)" in site.openssl("submissions", HOST, *options)
    assert "Cipher is ECDHE-ECDSA-AES256-GCM-SHA384" in site.openssl("submissions", HOST, "-tls1_2")
