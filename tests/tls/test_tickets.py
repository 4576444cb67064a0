"""Session tickets: shared by the processes of a service, refused by every other service, and of a limited life."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.log import log
from pillarbox.lib.tls import ServerRole, native, server_context, tickets
from pillarbox.lib.tls.tickets import KEY_SIZE, TicketKeys, ticket_keys
from tests.tls.authority import Authority
from tests.tls.handshakes import client, shake

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
HOUR = 3600.0


class Clock:
    """A clock that stands still until it is put forward."""

    def __init__(self, now: float = 100 * HOUR + 5) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Site:
    """The processes of services, all in this one."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        own = self.authority.issue("mail.example.com", hosts=("mail.example.com",))
        other = self.authority.issue("mail.example.org", hosts=("mail.example.org",))
        self.config = Config.for_tests(
            smtpd_tls_chain_files=own.chain_file,
            tls_server_sni_maps=f"inline:{{mail.example.org={other.chain_file}}}",
            smtpd_tls_CAfile=str(self.authority.file),
        )

    def process(self, keys: TicketKeys | None, role: ServerRole | None = None) -> ssl.SSLContext:
        context = server_context(self.config, role or ServerRole(), keys)
        assert context is not None
        return context


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def speaking(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = client()
    context.minimum_version = context.maximum_version = version
    return context


def resumes(first: ssl.SSLContext, second: ssl.SSLContext, connecting: ssl.SSLContext, name: str | None = None) -> bool:
    """Whether a session that began at one process goes on at another."""
    near, _ = shake(first, connecting, name)
    assert not near.session_reused
    again, far = shake(second, connecting, name, near.session)
    assert again.session_reused == far.session_reused
    return bool(again.session_reused)


@VERSIONS
def test_all_processes_of_a_service_take_a_ticket(site: Site, version: ssl.TLSVersion) -> None:
    keys = TicketKeys("smtp", HOUR)
    assert resumes(site.process(keys), site.process(keys), speaking(version))


@VERSIONS
def test_a_name_with_a_certificate_of_its_own_has_tickets_too(site: Site, version: ssl.TLSVersion) -> None:
    keys = TicketKeys("smtp", HOUR)
    assert resumes(site.process(keys), site.process(keys), speaking(version), "mail.example.org")


@VERSIONS
def test_no_other_service_takes_it(site: Site, version: ssl.TLSVersion) -> None:
    smtp, imap = (site.process(TicketKeys(name, HOUR)) for name in ("smtp", "imap"))
    assert not resumes(smtp, imap, speaking(version))


@VERSIONS
def test_not_even_with_the_same_keys(site: Site, version: ssl.TLSVersion) -> None:
    """The session's context alone keeps services apart, and those that ask for certificates from those that do not."""
    keys = TicketKeys("smtp", HOUR)
    twin = TicketKeys("imap", HOUR)
    twin.current[:], twin.last[:] = keys.current, keys.last
    assert not resumes(site.process(keys), site.process(twin), speaking(version))
    assert not resumes(site.process(keys), site.process(keys, ServerRole(asks=True)), speaking(version))


@VERSIONS
def test_processes_without_keys_have_tickets_of_their_own(site: Site, version: ssl.TLSVersion) -> None:
    one, two = site.process(None), site.process(None)
    connecting = speaking(version)
    assert resumes(one, one, connecting)
    assert not resumes(one, two, connecting)


@VERSIONS
def test_the_clients_certificate_is_known_again(site: Site, version: ssl.TLSVersion) -> None:
    from pillarbox.lib.tls import tls_facts

    keys = TicketKeys("smtp", HOUR)
    connecting = speaking(version)
    shown = site.authority.issue("client.example", client=True)
    liar = site.authority.issue("liar", client=True, own=True)
    for issued, trusted in ((shown, True), (liar, False)):
        connecting = speaking(version)
        connecting.load_cert_chain(issued.cert_file, issued.key_file)
        one, two = (site.process(keys, ServerRole(asks=True)) for _ in range(2))
        near, far = shake(one, connecting)
        _, again = shake(two, connecting, None, near.session)
        assert again.session_reused
        first, second = (tls_facts(each, "sha256").certificate for each in (far, again))
        assert first == second
        assert second is not None
        assert second.trusted == trusted


@VERSIONS
def test_trust_in_a_certificate_ends_with_the_trust_in_its_authority(
    site: Site, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    """A reload with another smtpd_tls_CAfile: the finding of the old handshake must not be taken over."""
    keys, role = TicketKeys("smtp", HOUR), ServerRole(asks=True)
    shown = site.authority.issue("client.example", client=True)
    connecting = speaking(version)
    connecting.load_cert_chain(shown.cert_file, shown.key_file)
    before, same = site.process(keys, role), site.process(keys, role)
    assert resumes(before, same, connecting)
    (tmp_path / "others").mkdir()
    others = Authority(tmp_path / "others").file.read_bytes()
    site.authority.file.write_bytes(others)
    assert not resumes(before, site.process(keys, role), connecting)
    # Where nobody is asked for a certificate there is nothing to take over.
    assert resumes(site.process(keys), site.process(keys), speaking(version))


@VERSIONS
def test_a_ticket_of_the_last_period_is_taken_and_one_of_before_is_not(site: Site, version: ssl.TLSVersion) -> None:
    clock = Clock()
    keys = TicketKeys("smtp", HOUR, clock)
    context = site.process(keys)
    connecting = speaking(version)
    near, _ = shake(context, connecting)
    clock.now += HOUR
    again, _ = shake(context, connecting, None, near.session)
    assert again.session_reused
    clock.now += HOUR
    too_late, _ = shake(context, connecting, None, near.session)
    assert not too_late.session_reused
    renewed, _ = shake(context, connecting, None, again.session)
    assert renewed.session_reused


def test_processes_go_from_period_to_period_alike(site: Site) -> None:
    """Without a word to each other, and whoever was forked later."""
    clock = Clock()
    masters = TicketKeys("smtp", HOUR, clock)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        clock.now += 3 * HOUR
        masters.advance()
        os.write(write, masters.current + masters.last)
        os._exit(0)
    os.waitpid(pid, 0)
    for _ in range(3):
        clock.now += HOUR
        masters.advance()
    assert os.read(read, 1000) == masters.current + masters.last
    os.close(read)
    os.close(write)


def test_keys_of_the_past_cannot_be_found_again() -> None:
    clock = Clock()
    keys = TicketKeys("smtp", HOUR, clock)
    past = [bytes(keys.current)]
    for _ in range(2):
        clock.now += HOUR
        keys.advance()
        past.append(bytes(keys.current))
    assert len(set(past)) == 3
    assert bytes(keys.last) == past[1]
    assert past[0] not in (bytes(keys.current), bytes(keys.last))
    assert keys.key_named(past[0][:16]) is None


def test_a_clock_that_goes_back_changes_nothing() -> None:
    clock = Clock()
    keys = TicketKeys("smtp", HOUR, clock)
    before = bytes(keys.current)
    clock.now -= 2 * HOUR
    keys.advance()
    assert bytes(keys.current) == before


def test_before_the_first_change_there_is_no_last_key() -> None:
    """A name of zeros must not find a key of zeros."""
    assert TicketKeys("smtp", HOUR).key_named(bytes(16)) is None


def test_wiping_leaves_nothing() -> None:
    keys = TicketKeys("smtp", HOUR)
    secret = keys._secret
    keys.wipe()
    assert not any(secret)
    assert not any(keys.current)
    assert not any(keys.last)


def test_each_service_has_its_own_keys() -> None:
    one, two = TicketKeys("smtp", HOUR), TicketKeys("smtp", HOUR)
    assert len({bytes(one.current), bytes(two.current), bytes(KEY_SIZE)}) == 3


@VERSIONS
def test_a_damaged_or_foreign_ticket_leads_to_a_full_handshake(site: Site, version: ssl.TLSVersion) -> None:
    keys = TicketKeys("smtp", HOUR)
    connecting = speaking(version)
    near, _ = shake(site.process(keys), connecting)
    name = bytes(keys.current[:16])
    for change in (lambda: keys.current.__setitem__(slice(16, 48), os.urandom(32)), keys.wipe):
        change()
        keys.current[:16] = name  # found by its name, and its seal is broken
        again, _ = shake(site.process(keys), connecting, None, near.session)
        assert not again.session_reused


def test_no_tickets_where_none_are_wanted(site: Site) -> None:
    assert ticket_keys("smtp", 0) is None
    context = server_context(Config({**site.config.values, "smtpd_tls_session_cache_timeout": "0"}))
    assert context is not None
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        near, _ = shake(context, speaking(version))
        assert near.session is None or not near.session.has_ticket


def test_where_it_cannot_be_done_it_is_said_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "library", lambda: None)
    monkeypatch.setattr(tickets, "_told", [])
    with log.capture() as lines:
        assert ticket_keys("smtp", HOUR) is None
        assert ticket_keys("imap", HOUR) is None
    assert [line for line in lines if "tickets are not shared" in line] == lines
    assert len(lines) == 1


def test_keys_that_cannot_be_read_back_are_not_trusted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "_proved", lambda *_: False)
    monkeypatch.setattr(tickets, "_told", [])
    keys = TicketKeys("smtp", HOUR)
    with log.capture() as lines:
        one, two = site.process(keys), site.process(keys)
    assert len(lines) == 1
    assert not resumes(one, two, client())
    assert resumes(one, one, client())
