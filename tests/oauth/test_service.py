"""The service against a real server: asked, remembered, hung, redirected, lied to."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from pillarbox.lib.clients.oauth import TokenAnswer
from pillarbox.lib.config import Config
from pillarbox.lib.config.oauth import EndpointError, configured_endpoint, endpoint_port
from pillarbox.lib.config.parameters.oauth import OAUTH_INTROSPECTION_URL
from pillarbox.lib.dns import Hosts, Resolver
from pillarbox.lib.ipc import Attributes, ProtocolError
from pillarbox.lib.log import log
from pillarbox.oauth import service as service_module
from pillarbox.oauth.introspection import Rules, Unusable
from pillarbox.oauth.server import AuthorizationServer
from pillarbox.oauth.service import Introspector
from tests.auth.service import Clock
from tests.lab.certificates import Authority
from tests.oauth.authorization import IntrospectionServer, good

T = TypeVar("T")
HOSTS = "127.0.0.1 localhost\n"


def configured(server: IntrospectionServer, **values: str) -> Config:
    return Config.for_tests(oauth_introspection_url=server.url, **{"oauth_timeout": "10s", **values})


def with_service(
    config: Config, test: Callable[[Introspector, Clock], Awaitable[T]], *, hosts: str = HOSTS, timeout: float = 10.0
) -> T:
    """Run `test` with an introspector at the configured endpoint."""
    endpoint = configured_endpoint(config)
    assert endpoint is not None

    async def main() -> T:
        clock = Clock()
        server = AuthorizationServer(endpoint, Resolver((), hosts=Hosts(hosts)), timeout)
        return await test(Introspector(server, Rules.configured(config), 60.0, clock), clock)

    return asyncio.run(main())


def test_the_server_is_asked_and_believed() -> None:
    async def test(service: Introspector, _: Clock) -> None:
        assert await service.introspect("abc") == TokenAnswer("ann@example.com")
        assert await service.introspect("other") == TokenAnswer("", "invalid_token")

    with IntrospectionServer() as server:
        server.answers["abc"] = good()
        with_service(configured(server), test)
        assert server.questions[0][1] == {"token": "abc", "token_type_hint": "access_token"}
        assert server.questions[0][0].startswith("POST /introspect HTTP/1.1\r\nHost: localhost:")


@pytest.mark.parametrize("method", ["basic", "post", "bearer"])
def test_our_credentials_are_sent_as_configured(tmp_path: Path, method: str) -> None:
    file = tmp_path / "credentials"
    file.touch(0o600)
    file.write_text("the id:se:cret/\n")

    async def test(service: Introspector, _: Clock) -> None:
        await service.introspect("abc")

    with IntrospectionServer() as server:
        with_service(configured(server, oauth_credentials_file=str(file), oauth_client_authentication=method), test)
        ((head, form),) = server.questions
    if method == "basic":
        pair = base64.b64encode(b"the+id:se%3Acret%2F").decode()
        assert f"Authorization: Basic {pair}" in head
    elif method == "post":
        assert (form["client_id"], form["client_secret"]) == ("the id", "se:cret/")
    else:
        assert "Authorization: Bearer se:cret/" in head


def test_a_good_answer_is_remembered_for_its_time() -> None:
    async def test(service: Introspector, clock: Clock) -> int:
        for _ in range(3):
            await service.introspect("abc")
        clock.now += 60
        await service.introspect("abc")
        return len(server.questions)

    with IntrospectionServer() as server:
        server.answers["abc"] = good(exp=10_000)
        assert with_service(configured(server), test) == 2


def test_no_answer_outlives_its_token() -> None:
    async def test(service: Introspector, clock: Clock) -> None:
        assert (await service.introspect("abc")).username
        clock.now += 10
        server.answers["abc"] = {"active": False}
        assert (await service.introspect("abc")).status == "invalid_token"

    with IntrospectionServer() as server:
        server.answers["abc"] = good(exp=1010)
        with_service(configured(server), test)


def test_equal_questions_at_once_are_one() -> None:
    async def test(service: Introspector, _: Clock) -> int:
        answers = await asyncio.gather(*(service.introspect("abc") for _ in range(10)))
        assert set(answers) == {TokenAnswer("ann@example.com")}
        return len(server.questions)

    with IntrospectionServer() as server:
        server.answers["abc"] = good()
        assert with_service(configured(server), test) == 1


def test_what_is_remembered_has_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "REMEMBERED", 2)

    async def test(service: Introspector, _: Clock) -> None:
        for number in range(5):
            await service.introspect(f"t{number}")
        assert len(service._known) == 2

    with IntrospectionServer() as server:
        server.answers |= {f"t{number}": good(exp=10_000) for number in range(5)}
        with_service(configured(server), test)


def test_tokens_are_not_kept_as_they_are() -> None:
    async def test(service: Introspector, _: Clock) -> None:
        await service.introspect("abcdefgh")
        assert b"abcdefgh" not in b"".join(service._known)

    with IntrospectionServer() as server:
        server.answers["abcdefgh"] = good(exp=10_000)
        with_service(configured(server), test)


def refused(
    server: IntrospectionServer, config: Config, match: str, *, timeout: float = 10.0, hosts: str = HOSTS
) -> None:
    """Twice: a failure is not remembered."""

    async def test(service: Introspector, _: Clock) -> None:
        for _ in range(2):
            with pytest.raises(Unusable, match=match):
                await service.introspect("abc")

    with_service(config, test, timeout=timeout, hosts=hosts)


def test_a_server_that_hangs_is_no_answer() -> None:
    with IntrospectionServer() as server:
        server.hang = True
        refused(server, configured(server), "did not answer in", timeout=0.2)
        assert len(server.questions) == 2


def test_a_server_that_drips_has_no_more_time_than_others() -> None:
    with IntrospectionServer() as server:
        server.drip = True
        refused(server, configured(server), "did not answer in", timeout=0.3)


@pytest.mark.parametrize(
    ("script", "match"),
    [
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
            "redirects are not followed",
        ),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "does not accept our credentials"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "HTTP status 500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<htm>", "no JSON"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "does not speak HTTP"),
        (b"", "in the middle of the answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, "too long"),
    ],
)
def test_a_server_that_talks_nonsense_is_no_answer(script: bytes, match: str) -> None:
    with IntrospectionServer() as server:
        server.script = script
        refused(server, configured(server), match)


def test_a_server_that_is_not_there_is_no_answer() -> None:
    with IntrospectionServer() as server:
        config = configured(server)
    refused(server, config, "authorization server localhost")
    config = Config.for_tests(oauth_introspection_url="https://as.example/introspect")
    refused(server, config, r"address of as\.example cannot be found")


def test_the_server_is_believed_under_tls_with_its_own_certificate_only(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "Other CA")

    async def test(service: Introspector, _: Clock) -> None:
        assert await service.introspect("abc") == TokenAnswer("ann@example.com")

    with IntrospectionServer(authority.issue("localhost").server_context) as server:
        server.answers["abc"] = good()
        with_service(configured(server, oauth_CAfile=str(authority.certificate)), test)
        refused(server, configured(server, oauth_CAfile=str(other.certificate)), "TLS: ")
    with IntrospectionServer(authority.issue("elsewhere.example").server_context) as server:
        refused(server, configured(server, oauth_CAfile=str(authority.certificate)), "TLS: .*localhost")


# --- requests
def test_a_failure_is_logged_and_answered_without_the_token() -> None:
    async def test(service: Introspector, _: Clock) -> None:
        with log.capture() as lines:
            reply = await service.answer(Attributes({"do": "introspect", "token": "very-secret"}))
        assert reply["ok"] is False
        assert "HTTP status 500" in lines[0]
        assert "very-secret" not in lines[0] + str(reply)

    with IntrospectionServer() as server:
        server.script = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
        with_service(configured(server), test)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"do": "other"},
        {"do": "introspect"},
        {"do": "introspect", "token": "a b"},
        {"do": "introspect", "token": ""},
    ],
)
def test_a_broken_request_is_refused(request_: dict[str, object]) -> None:
    async def test() -> None:
        with pytest.raises(ProtocolError):
            await Introspector(None, Rules(), 60.0, Clock()).answer(Attributes(request_))

    asyncio.run(test())


def test_without_configuration_nobody_can_tell() -> None:
    async def test() -> None:
        with log.capture():
            reply = await Introspector(None, Rules(), 60.0, Clock()).answer(
                Attributes({"do": "introspect", "token": "abc"})
            )
        assert reply == {"ok": False, "why": "oauth_introspection_url is not set"}

    asyncio.run(test())


# --- configuration
def test_the_port_that_may_be_connected_to() -> None:
    for url, port in (("https://as.example/x", 443), ("http://localhost:8080/x", 8080), ("http://[::1]/x", 80)):
        assert endpoint_port(Config.for_tests(oauth_introspection_url=url)) == (port,)
    assert endpoint_port(Config.for_tests()) == ()
    assert configured_endpoint(Config.for_tests()) is None


def test_tokens_do_not_cross_the_network_in_clear_text_unless_asked_to() -> None:
    url = "http://as.example/introspect"
    with pytest.raises(EndpointError, match="use https://"):
        configured_endpoint(Config.for_tests(oauth_introspection_url=url))
    assert configured_endpoint(Config.for_tests(oauth_introspection_url=url, oauth_allow_http="yes")) is not None
    assert configured_endpoint(Config.for_tests(oauth_introspection_url="http://127.0.0.1/introspect")) is not None


@pytest.mark.parametrize(
    "url",
    [
        "ftp://as.example/",
        "https://",
        "https://user:pw@as.example/",
        "as.example",
        "https://as.example:x/",
        "https://a b/",
    ],
)
def test_what_is_no_url_is_found_when_the_configuration_is_read(url: str) -> None:
    with pytest.raises(ValueError):
        Config.for_tests(oauth_introspection_url=url)[OAUTH_INTROSPECTION_URL]


@pytest.mark.parametrize(
    ("content", "mode", "match"),
    [("id:secret", 0o644, "can be read by others"), ("nothing", 0o600, "ID:SECRET"), ("id:", 0o600, "ID:SECRET")],
)
def test_credentials_that_cannot_be_used(tmp_path: Path, content: str, mode: int, match: str) -> None:
    file = tmp_path / "credentials"
    file.write_text(content)
    os.chmod(file, mode)
    with pytest.raises(EndpointError, match=match):
        configured_endpoint(
            Config.for_tests(oauth_introspection_url="https://as.example/", oauth_credentials_file=str(file))
        )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("oauth_credentials_file", "oauth_CAfile"):
        values = {name: str(tmp_path / "missing"), "oauth_introspection_url": "https://as.example/"}
        with pytest.raises(EndpointError, match=name):
            configured_endpoint(Config.for_tests(**values))
