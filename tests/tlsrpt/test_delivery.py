"""Handing in: what cleanup and web servers may say, and whether there is another attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.clients.cleanup import Receipt, Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config.parameters.tlsrpt import TLSRPT_HTTPS_PORTS
from pillarbox.lib.dns import Hosts, Resolver
from pillarbox.lib.queue import Envelope
from pillarbox.tlsrpt.delivery import Later, Outside, Refused
from tests.lab.certificates import Authority
from tests.lab.web import WebServer, ok
from tests.tlsrpt.schema import checked, opened
from tests.tlsrpt.test_report import EXAMPLE

SENDER = "tls@x.test"


class FakeCleanup:
    """Takes messages; `opening` and `end` are what it fails with."""

    def __init__(self, opening: Exception | None = None, end: Exception | None = None) -> None:
        self.opening, self.end = opening, end
        self.envelope: Envelope | None = None
        self.content = b""
        self.queue_id = "4X"

    async def open(self) -> Any:
        if self.opening is not None:
            raise self.opening
        return self

    def begin(self, envelope: Envelope) -> None:
        self.envelope = envelope

    async def write(self, content: bytes) -> None:
        self.content += content

    async def commit(self) -> Receipt:
        if self.end is not None:
            raise self.end
        return Receipt(self.queue_id, len(self.content))


def outside(authority: Authority, port: int, cleanup: Any = None) -> Outside:
    resolver = Resolver((), hosts=Hosts("127.0.0.1 reports.test\n"))
    tls = authority.client_context
    return Outside(
        cleanup or FakeCleanup(), resolver, tls, sender=SENDER, host="mx.x.test", ports=(port,), clock=lambda: 1.8e9
    )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def web(authority: Authority) -> Iterator[WebServer]:
    context = authority.issue("reports.test").server_context
    with WebServer(context, lambda _: ok(b"", "text/plain", status="201 Created")) as server:
        yield server


def post(authority: Authority, web: WebServer, port: int | None = None) -> str:
    async def main() -> str:
        url = f"https://reports.test:{port or web.port}/v1?x=y"
        return await outside(authority, web.port).post(EXAMPLE, url)

    return asyncio.run(main())


def mail(authority: Authority, cleanup: FakeCleanup) -> str:
    return asyncio.run(outside(authority, 443, cleanup).mail(EXAMPLE, ["a@y.test", "b@y.test"]))


def test_a_report_goes_by_https(authority: Authority, web: WebServer) -> None:
    assert post(authority, web) == "HTTP status 201"
    (request,) = web.requests
    assert request.line == "POST /v1?x=y HTTP/1.1"
    assert request.field("content-type") == "application/tlsrpt+gzip"
    assert checked(request.body) == EXAMPLE.members()


@pytest.mark.parametrize(
    ("status", "expected"),
    [("500 Oh", Later), ("503 Busy", Later), ("404 No", Refused), ("301 Moved", Refused), ("413 Large", Refused)],
)
def test_what_a_web_server_may_say(
    authority: Authority, web: WebServer, status: str, expected: type[Exception]
) -> None:
    web.respond = lambda _: ok(b"", "text/plain", status=status)
    with pytest.raises(expected, match=status[:3]):
        post(authority, web)


def test_a_server_that_does_not_prove_its_name_gets_none(authority: Authority, web: WebServer) -> None:
    web.context = authority.issue("other.test").server_context
    with pytest.raises(Later, match="TLS"):
        post(authority, web)
    assert web.requests == []


def test_a_port_that_is_not_configured_gets_none(authority: Authority, web: WebServer) -> None:
    with pytest.raises(Refused, match="tlsrpt_https_ports"):
        post(authority, web, 8443)


@pytest.mark.parametrize("words", ["https", "0", "65536", "443 x", "-1"])
def test_what_is_no_port_is_no_configuration(words: str) -> None:
    with pytest.raises(ValueError, match="TCP port"):
        TLSRPT_HTTPS_PORTS.parse(words)


def test_a_report_goes_by_mail(authority: Authority) -> None:
    cleanup = FakeCleanup()
    assert mail(authority, cleanup) == "queued as 4X"
    envelope = cleanup.envelope
    assert envelope is not None and not envelope.requiretls
    assert envelope.sender == SENDER
    assert [(one.address, one.notify) for one in envelope.recipients] == [
        ("a@y.test", ("never",)),
        ("b@y.test", ("never",)),
    ]
    assert cleanup.content.startswith(b"Received: by mx.x.test")
    message, _, report = opened(cleanup.content)
    assert report == EXAMPLE.members() and "4X" in message["Message-ID"]


@pytest.mark.parametrize(
    ("opening", "end", "expected"),
    [
        (ServiceUnavailable("away"), None, Later),
        (None, Rejected(451, "4.3.0", "full"), Later),
        (None, Rejected(554, "5.7.1", "no"), Refused),
        (None, ServiceUnavailable("broke off"), Refused),
    ],
)
def test_what_cleanup_may_say(
    authority: Authority, opening: Exception | None, end: Exception | None, expected: type[Exception]
) -> None:
    """Where nobody knows whether it is in the queue it is not sent again."""
    with pytest.raises(expected):
        mail(authority, FakeCleanup(opening, end))
