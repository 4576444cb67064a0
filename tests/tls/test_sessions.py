"""Sessions kept for resumption: found by who asks for the same, once, and for a time; never more than the limit."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from pillarbox.lib.tls.sessions import SessionCache
from tests.lab.certificates import Authority


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server(tmp_path: Path) -> ssl.SSLContext:
    return Authority(tmp_path).issue("mx.test").server_context


def client_context(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = version
    return context


def talk(client: ssl.SSLContext, server: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLObject:
    """The client's end after the handshake and the server's first words, with which tickets come."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(down, up, server_hostname="mx.test", session=session)
    theirs = server.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for end in (ours, theirs):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    theirs.write(b"250 hello\r\n")
    assert ours.read(100) == b"250 hello\r\n"
    return ours


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_and_used_once(server: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    cache, context = SessionCache(10, 100.0, Clock()), client_context(version)
    first = talk(context, server)
    cache.put("key", first)
    session = cache.take("key", context)
    assert session is not None
    assert talk(context, server, session.session).session_reused
    assert cache.take("key", context) is None


def test_nobody_else_gets_it(server: ssl.SSLContext) -> None:
    cache, context = SessionCache(10, 100.0, Clock()), client_context()
    cache.put("key", talk(context, server))
    assert cache.take("other", context) is None
    assert cache.take("key", client_context()) is None, "a session belongs to its context"


def test_its_time_ends(server: ssl.SSLContext) -> None:
    clock = Clock()
    cache, context = SessionCache(10, 100.0, clock), client_context()
    cache.put("key", talk(context, server))
    clock.now = 101.0
    assert cache.take("key", context) is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_renewing_it_does_not_put_its_end_off(server: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    clock = Clock()
    cache, context = SessionCache(10, 100.0, clock), client_context(version)
    cache.put("key", talk(context, server))
    for moment in (40.0, 80.0):
        clock.now = moment
        resumed = cache.take("key", context)
        assert resumed is not None
        session = talk(context, server, resumed.session)
        assert session.session_reused
        cache.put("key", session, resumed)
    clock.now = 101.0
    assert cache.take("key", context) is None, "the certificate is to be looked at again"


def test_a_server_that_does_not_resume_is_examined_anew(server: ssl.SSLContext) -> None:
    clock = Clock()
    cache, context = SessionCache(10, 100.0, clock), client_context()
    cache.put("key", talk(context, server))
    clock.now = 80.0
    resumed = cache.take("key", context)
    cache.put("key", talk(context, server), resumed)
    clock.now = 150.0
    assert cache.take("key", context) is not None


def test_there_are_no_more_than_the_limit(server: ssl.SSLContext) -> None:
    cache, context = SessionCache(2, 100.0, Clock()), client_context()
    for key in range(4):
        cache.put(key, talk(context, server))
    assert len(cache) == 2
    assert cache.take(0, context) is None
    assert cache.take(3, context) is not None


def test_none_are_kept_where_none_are_wanted(server: ssl.SSLContext) -> None:
    cache, context = SessionCache(0, 100.0, Clock()), client_context()
    cache.put("key", talk(context, server))
    assert len(cache) == 0
