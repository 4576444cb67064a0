"""Asking a domain: what DNS may say, and every way in which a web server does not give a policy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pillarbox.lib.dns import Resolver, parse_server
from pillarbox.lib.smtp.sts_policy import TEXT_LIMIT, StsPolicy
from pillarbox.mta_sts.source import FETCH_ERROR, INVALID, WEBPKI, Announced, SourceFailed, WebSource, policy_context
from tests.lab.certificates import Authority
from tests.lab.dns import DnsServer
from tests.lab.web import HANG, WebServer, ok

DOMAIN = "far.test"
HOST = f"mta-sts.{DOMAIN}"
TEXT = b"version: STSv1\r\nmode: enforce\r\nmx: *.far.test\r\nmax_age: 86400\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer(f'_mta-sts.{DOMAIN}. TXT "v=STSv1; " "id=1;"\n{HOST}. A 127.0.0.1') as server:
        yield server


def context(authority: Authority, *names: str, expired: bool = False) -> ssl.SSLContext:
    return authority.issue(*names, expired=expired).server_context


def asking(dns: DnsServer, authority: Authority, port: int, timeout: float = 10.0) -> WebSource:
    resolver = Resolver([parse_server(dns.resolver)], timeout=1.0, attempts=1)
    return WebSource(resolver, policy_context(str(authority.certificate)), timeout, port)


def announced(dns: DnsServer, authority: Authority) -> Announced:
    async def main() -> Announced:
        return await asking(dns, authority, 443).announced(DOMAIN)

    return asyncio.run(main())


def fetch(dns: DnsServer, authority: Authority, web: WebServer, timeout: float = 10.0) -> StsPolicy:
    async def main() -> StsPolicy:
        return await asking(dns, authority, web.port, timeout).fetch(DOMAIN, "1")

    return asyncio.run(main())


def test_a_record_of_several_strings_is_one_text(dns: DnsServer, authority: Authority) -> None:
    assert announced(dns, authority).id == "1"


def test_a_record_behind_an_alias_counts(dns: DnsServer, authority: Authority) -> None:
    dns.remove(f"_mta-sts.{DOMAIN}")
    dns.add(f'_mta-sts.{DOMAIN}. CNAME _mta-sts.provider.test.\n_mta-sts.provider.test. TXT "v=STSv1; id=p"')
    assert announced(dns, authority).id == "p"


def test_without_a_record_there_is_no_policy(dns: DnsServer, authority: Authority) -> None:
    dns.remove(f"_mta-sts.{DOMAIN}")
    assert announced(dns, authority).id is None


@pytest.mark.parametrize("how", ["servfail", "timeout"])
def test_where_dns_fails_nobody_can_say(dns: DnsServer, authority: Authority, how: str) -> None:
    dns.fail(f"_mta-sts.{DOMAIN}", how)
    with pytest.raises(SourceFailed) as failed:
        announced(dns, authority)
    assert failed.value.result == ""


@pytest.mark.parametrize(
    "reply",
    [
        ok(TEXT, "text/plain"),
        ok(TEXT, "Text/Plain; charset=utf-8"),
        ok(TEXT.replace(b"\r\n", b"\n"), "text/plain"),
        CHUNKED + b"%x\r\n" % len(TEXT) + TEXT + b"\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + TEXT,
    ],
)
def test_a_policy_is_fetched(dns: DnsServer, authority: Authority, reply: bytes) -> None:
    with WebServer(context(authority, HOST), lambda _: reply) as web:
        policy = fetch(dns, authority, web)
        assert (policy.domain, policy.mode, policy.mx, policy.id) == (DOMAIN, "enforce", ("*.far.test",), "1")
        (request,) = web.requests
        assert request.line == "GET /.well-known/mta-sts.txt HTTP/1.1"
        assert request.field("host") == f"{HOST}:{web.port}"


def test_a_certificate_with_a_wildcard_will_do(dns: DnsServer, authority: Authority) -> None:
    with WebServer(context(authority, f"*.{DOMAIN}"), lambda _: ok(TEXT, "text/plain")) as web:
        assert fetch(dns, authority, web).mode == "enforce"


@pytest.mark.parametrize(
    "make",
    [
        lambda authority: context(authority, HOST, expired=True),
        lambda authority: context(authority, "mta-sts.other.test"),
        lambda authority: context(authority, DOMAIN),
        lambda authority: context(Authority(authority.directory / "unknown", "Unknown CA"), HOST),
    ],
    ids=["expired", "wrong name", "parent name", "unknown authority"],
)
def test_a_certificate_must_prove_the_name(
    dns: DnsServer, authority: Authority, make: Callable[[Authority], ssl.SSLContext]
) -> None:
    with WebServer(make(authority), lambda _: ok(TEXT, "text/plain")) as web:
        with pytest.raises(SourceFailed) as failed:
            fetch(dns, authority, web)
        assert failed.value.result == WEBPKI
        assert web.requests == [], "asked a server that did not prove its name"


def test_clear_text_is_no_policy(dns: DnsServer, authority: Authority) -> None:
    with WebServer(None, lambda _: ok(TEXT, "text/plain")) as web, pytest.raises(SourceFailed) as failed:
        fetch(dns, authority, web, 3.0)
    assert failed.value.result in (WEBPKI, FETCH_ERROR)


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        (b"HTTP/1.1 301 Moved\r\nLocation: https://mta-sts.far.test/x\r\nContent-Length: 0\r\n\r\n", FETCH_ERROR),
        (ok(b"no", "text/plain", status="404 Not Found"), FETCH_ERROR),
        (ok(TEXT, "text/plain", status="203 Non-Authoritative Information"), FETCH_ERROR),
        (ok(TEXT, "text/html"), INVALID),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(TEXT) + TEXT, INVALID),
        (ok(b"<html>", "text/plain"), INVALID),
        (ok(b"", "text/plain"), INVALID),
        (ok(TEXT + b"x: \xff\r\n", "text/plain"), INVALID),
        (ok(TEXT, "text/plain")[:-1], FETCH_ERROR),
        (CHUNKED + b"%x\r\n" % len(TEXT) + TEXT, FETCH_ERROR),
        (CHUNKED + b"zz\r\n", FETCH_ERROR),
        (ok(TEXT + b"\n" * TEXT_LIMIT, "text/plain"), FETCH_ERROR),
        (CHUNKED + (b"8000\r\n" + b"\n" * 0x8000 + b"\r\n") * 3 + b"0\r\n\r\n", FETCH_ERROR),
        (b"220 smtp.example ESMTP\r\n", FETCH_ERROR),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10000, FETCH_ERROR),
    ],
)
def test_what_is_not_taken_for_a_policy(dns: DnsServer, authority: Authority, reply: bytes, result: str) -> None:
    with WebServer(context(authority, HOST), lambda _: reply) as web:
        with pytest.raises(SourceFailed) as failed:
            fetch(dns, authority, web)
        assert failed.value.result == result, failed.value.text
        assert web.connections == 1


@pytest.mark.parametrize("drip", [False, True])
def test_a_server_that_hangs_has_its_time(dns: DnsServer, authority: Authority, drip: bool) -> None:
    with WebServer(context(authority, HOST), lambda _: ok(TEXT, "text/plain") if drip else HANG) as web:
        web.drip = drip
        with pytest.raises(SourceFailed) as failed:
            fetch(dns, authority, web, 0.5)
    assert failed.value.result == FETCH_ERROR
    assert "did not answer" in failed.value.text


def test_a_host_that_cannot_be_reached(dns: DnsServer, authority: Authority) -> None:
    with WebServer(None, lambda _: HANG) as gone:
        pass
    with pytest.raises(SourceFailed) as failed:
        fetch(dns, authority, gone)
    assert failed.value.result == FETCH_ERROR
    dns.remove(HOST)
    with pytest.raises(SourceFailed) as failed:
        fetch(dns, authority, gone)
    assert failed.value.result == FETCH_ERROR


def test_the_authorities_are_those_of_the_system_or_of_a_file(tmp_path: Path) -> None:
    assert policy_context("").verify_mode == ssl.CERT_REQUIRED
    with pytest.raises(OSError):
        policy_context(str(tmp_path / "none"))
