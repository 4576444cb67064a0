"""OAUTHBEARER and XOAUTH2: the examples of RFC 7628, its grammar, and refusals."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sasl import Accepted, Rejected, Send, TokenVerdict, VerifyToken, server_mechanism
from pillarbox.lib.sasl.server.oauthbearer import OAuthBearerServer, XOAuth2Server
from tests.feeding import truncations, with_trailing

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
# RFC 7628 section 4.1, as it stands there
EXAMPLE = base64.b64decode(
    "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNS"
    "bGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
)
GOOGLE = b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01"


def test_the_example_of_the_rfc() -> None:
    server = OAuthBearerServer()
    assert server.start(EXAMPLE) == VerifyToken(TOKEN, "user@example.com")
    assert server.token_verified(TokenVerdict("user@example.com")) == Accepted("user@example.com", "user@example.com")


def test_a_token_alone_says_who_it_is() -> None:
    server = server_mechanism("oauthbearer")
    assert server is not None
    assert server.start(None) == Send(b"")
    assert server.receive(b"n,,\x01auth=Bearer abc\x01\x01") == VerifyToken("abc")
    assert server.token_verified(TokenVerdict("ann@example.com")) == Accepted("ann@example.com")


def test_a_refused_token_is_told_as_json_and_then_fails() -> None:
    """RFC 7628 section 3.2.2: the client answers with one kvsep, and the exchange fails."""
    server = OAuthBearerServer()
    server.start(EXAMPLE)
    url = "https://example.com/.well-known/openid-configuration"
    event = server.token_verified(TokenVerdict(status="insufficient_scope", scope="mail", configuration=url))
    assert isinstance(event, Send)
    assert json.loads(event.data) == {"status": "insufficient_scope", "scope": "mail", "openid-configuration": url}
    event = server.receive(b"\x01")
    assert isinstance(event, Rejected)
    assert (event.kind, event.username) == ("credentials", "user@example.com")


def test_nothing_is_good_after_a_refusal() -> None:
    server = OAuthBearerServer()
    server.start(EXAMPLE)
    server.token_verified(TokenVerdict(status="invalid_token"))
    assert isinstance(server.receive(EXAMPLE), Rejected)


def test_the_error_says_no_more_than_there_is() -> None:
    server = OAuthBearerServer()
    server.start(EXAMPLE)
    assert server.token_verified(TokenVerdict()) == Send(b'{"status":"invalid_token"}')


def test_xoauth2() -> None:
    server = XOAuth2Server()
    token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"
    assert server.start(GOOGLE) == VerifyToken(token, "someuser@example.com")
    event = server.token_verified(TokenVerdict(status="invalid_token", scope="mail"))
    assert event == Send(b'{"status":"401","schemes":"bearer","scope":"mail"}')
    assert isinstance(server.receive(b""), Rejected)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01",
        b"n,,",
        b"n,,\x01",
        b"n,,\x01\x01",
        b"n,,\x01host=x\x01\x01",
        b"n,\x01auth=Bearer abc\x01\x01",
        b"p=tls-exporter,,\x01auth=Bearer abc\x01\x01",
        b"n,b=x,\x01auth=Bearer abc\x01\x01",
        b"n,a=x=y,\x01auth=Bearer abc\x01\x01",
        b"n,,\x01auth=Bearer abc\x01",
        b"n,,\x01auth=Bearer abc",
        b"n,,\x01auth=Bearer \x01\x01",
        b"n,,\x01auth=Basic abc\x01\x01",
        b"n,,\x01auth=Bearer a b\x01\x01",
        b"n,,\x01auth=Bearer abc\x01auth=Bearer def\x01\x01",
        b"n,,\x01auth\x01\x01",
        b"n,,\x01=x\x01auth=Bearer abc\x01\x01",
        b"n,,\x01auth=Bearer abc\x01\x01\x01",
        b"n,,\x01auth=Bearer ab\0c\x01\x01",
        b"n,,\x01auth=Bearer \xff\x01\x01",
    ],
)
def test_a_malformed_message_is_refused(message: bytes) -> None:
    event = OAuthBearerServer().start(message)
    assert isinstance(event, Rejected)
    assert event.kind == "malformed"


@pytest.mark.parametrize(
    "message", [b"", b"user=\x01auth=Bearer a\x01\x01", b"name=a\x01auth=Bearer a\x01\x01", b"user=a"]
)
def test_a_malformed_message_of_xoauth2_is_refused(message: bytes) -> None:
    event = XOAuth2Server().start(message)
    assert isinstance(event, Rejected)
    assert event.kind == "malformed"


def test_messages_cut_short_or_prolonged_are_refused() -> None:
    for message in (*truncations(EXAMPLE), *with_trailing(EXAMPLE)):
        assert isinstance(OAuthBearerServer().start(message), Rejected), message
    for message in (*truncations(GOOGLE), *with_trailing(GOOGLE)):
        assert isinstance(XOAuth2Server().start(message), Rejected), message


@given(st.binary(max_size=80))
def test_any_message_is_a_token_or_refused(message: bytes) -> None:
    assert isinstance(OAuthBearerServer().start(message), (VerifyToken, Rejected))


def test_a_token_does_not_show_in_a_trace() -> None:
    assert TOKEN not in repr(VerifyToken(TOKEN))
