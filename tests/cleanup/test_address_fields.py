"""Addresses in the header of a message, rewritten."""

from __future__ import annotations

import pytest

from pillarbox.cleanup.address_fields import AddressFields
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.queue import Envelope
from tests.lookup.direct import direct


def rewritten(
    header: bytes, *, origin: str = "smtpd", rewrite: str = "", overrides: str = "", **settings: str
) -> bytes:
    config = Config.for_tests(
        **({"myhostname": "mx.h.example", "myorigin": "h.example", "mydomain": "h.example"} | settings)
    )
    attributes = {"rewrite": rewrite} if rewrite else {}
    envelope = Envelope("", (), 0.0, origin=origin, attributes=attributes, overrides=overrides)
    return AddressFields(config).apply(header, envelope, direct(config))


def test_bare_addresses_are_completed_in_address_fields_only() -> None:
    header = (
        b"From: Ann <ann>\nTo: root,\n\tbob@example.org\nResent-Cc: carol\nSubject: root, ann\nX-To: root\n"
        b"Received: from x by y\nCc: \xff\xfe\n"
    )
    assert rewritten(header, rewrite="local") == (
        b"From: Ann <ann@h.example>\nTo: root@h.example,\n\tbob@example.org\nResent-Cc: carol@h.example\n"
        b"Subject: root, ann\nX-To: root\nReceived: from x by y\nCc: \xff\xfe@h.example\n"
    )


def test_whose_headers_are_rewritten() -> None:
    for origin in ("pickup", "bounce"):
        assert rewritten(b"To: root\n", origin=origin) == b"To: root@h.example\n"
    for origin in ("local", "smtpd", "gateway"):
        assert rewritten(b"To: root\n", origin=origin) == b"To: root\n"


def test_strangers_get_a_domain_of_their_own_where_there_is_one() -> None:
    domain = {"remote_header_rewrite_domain": "domain.invalid", "append_dot_mydomain": "yes"}
    assert rewritten(b"To: root, a@b\n", **domain) == b"To: root@domain.invalid, a@b.domain.invalid\n"
    assert rewritten(b"To: root, a@b\n", rewrite="local", **domain) == b"To: root@h.example, a@b.h.example\n"
    assert rewritten(b"To: root\n", origin="local", **domain) == b"To: root\n", "it was rewritten when it came"


def test_other_forms_than_the_usual_one() -> None:
    header = b"From: site!ann\nTo: <@relay.example:bob@far.example>, carl%far.example, dora@far.example.\n"
    assert rewritten(header, origin="pickup") == (
        b"From: ann@site\nTo: <bob@far.example>, carl@far.example, dora@far.example\n"
    )


def test_nothing_else_changes() -> None:
    header = b"To: ann@example.org\nFrom: x@y.example\nSubject: \xe4\n"
    assert rewritten(header, rewrite="local") is header
    assert rewritten(header, rewrite="local", canonical_maps="inline:{a@b.example=c@d.example}") is header


def test_senders_and_recipients_have_their_own_tables() -> None:
    tables = {
        "sender_canonical_maps": "inline:{ann@x.example=s@x.example}",
        "recipient_canonical_maps": "inline:{ann@x.example=r@x.example}",
    }
    header = b"From: Ann <ann@x.example>\nReply-To: ann@x.example\nTo: ann@x.example\nResent-Cc: ann@x.example\n"
    assert rewritten(header, rewrite="local", **tables) == (
        b"From: Ann <s@x.example>\nReply-To: s@x.example\nTo: r@x.example\nResent-Cc: r@x.example\n"
    )
    assert rewritten(header, **tables) == header, "mail of strangers"
    assert rewritten(header, rewrite="local", overrides="no_address_mappings", **tables) == header


def test_classes_and_masquerading() -> None:
    header = b"From: ann@a.h.example\nTo: ann@a.h.example, root@a.h.example\n"
    masked = {"masquerade_domains": "h.example", "masquerade_exceptions": "root"}
    assert rewritten(header, origin="pickup", **masked) == b"From: ann@h.example\nTo: ann@h.example, root@a.h.example\n"
    masked["masquerade_classes"] = "envelope_sender, header_sender"
    assert (
        rewritten(header, origin="pickup", **masked) == b"From: ann@h.example\nTo: ann@a.h.example, root@a.h.example\n"
    )


def test_octets_that_no_table_can_have_survive() -> None:
    header = b"To: \xff@x.example, ann\n"
    assert (
        rewritten(header, origin="pickup", canonical_maps="static:z@z.example") == b"To: \xff@x.example, z@z.example\n"
    )


def test_a_table_that_cannot_be_asked_is_not_passed_over() -> None:
    with pytest.raises(ServiceUnavailable):
        rewritten(b"To: a@b.example\n", rewrite="local", canonical_maps="fail:x")
