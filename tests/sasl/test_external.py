"""EXTERNAL: the authorization identity is all that is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sasl import Accepted, Rejected, Send, VerifyCertificate, server_mechanism
from pillarbox.lib.sasl.server.external import ExternalServer


def test_an_empty_message_asks_for_whom_the_certificate_names() -> None:
    server = ExternalServer()
    assert server.start(b"") == VerifyCertificate("")
    assert server.certified("ann@example.com") == Accepted("ann@example.com")


def test_without_an_initial_response_it_is_asked_for() -> None:
    server = server_mechanism("external")
    assert server is not None
    assert server.start(None) == Send(b"")
    assert server.receive(b"ann@example.com") == VerifyCertificate("ann@example.com")
    assert server.certified("ann@example.com") == Accepted("ann@example.com", "ann@example.com")


def test_a_certificate_of_nobody_is_refused() -> None:
    server = ExternalServer()
    server.start(b"bob@example.com")
    assert server.certified("") == Rejected("credentials", "authentication failed", "bob@example.com")


@pytest.mark.parametrize("message", [b"\xff", b"a\0b", b"\0"])
def test_a_malformed_identity_is_refused(message: bytes) -> None:
    event = ExternalServer().start(message)
    assert isinstance(event, Rejected)
    assert event.kind == "malformed"


@given(st.binary(max_size=60))
def test_any_message_is_an_identity_or_refused(message: bytes) -> None:
    assert isinstance(ExternalServer().start(message), (VerifyCertificate, Rejected))
