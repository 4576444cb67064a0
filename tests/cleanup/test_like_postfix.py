"""Envelopes and headers beside cleanup of a real Postfix, with the same tables: both write the same queue file."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pillarbox.lib.address.address import quote_local
from pillarbox.lib.address.header import parse_address_list
from pillarbox.lib.clients.addressing import Addressing
from pillarbox.lib.message.address_fields import RECIPIENT_FIELDS, SENDER_FIELDS
from pillarbox.lib.message.header import field_value, scan
from tests.cleanup.desk import desk
from tests.lookup.direct import direct
from tests.peers.postfix import Postfix

BASIS = {
    "myhostname": "mx.own.example",
    "mydomain": "own.example",
    "myorigin": "own.example",
    "mydestination": "mx.own.example, localhost, own.example",
    "local_recipient_maps": "",
    "recipient_delimiter": "+",
    "always_add_missing_headers": "no",
}
CASES: dict[str, dict[str, str]] = {
    "nothing": {},
    "dots": {"append_dot_mydomain": "yes"},
    "canonical": {
        "canonical_maps": "inline:{ann@own.example=ann.smith@new.example, @old.example=@new.example, bob=robert, "
        "@catch.example=all@far.example}",
        "recipient_canonical_maps": "inline:{carl@far.example=karl@far.example, ann.smith@new.example=x@y.example}",
        "sender_canonical_maps": "inline:{carl@far.example=charles@far.example}",
    },
    "classes": {
        "canonical_maps": "inline:{ann@own.example=ann.smith@new.example, carl@far.example=karl@far.example}",
        "canonical_classes": "envelope_recipient, header_sender",
        "sender_canonical_maps": "inline:{bob@own.example=b@new.example}",
        "sender_canonical_classes": "header_sender",
        "recipient_canonical_maps": "inline:{bob@own.example=c@new.example}",
        "recipient_canonical_classes": "header_recipient",
    },
    "masquerade": {
        "masquerade_domains": "!keep.own.example, own.example, far.example",
        "masquerade_exceptions": "root, dora",
    },
    "masquerade all": {
        "masquerade_domains": "own.example",
        "masquerade_classes": "envelope_sender, envelope_recipient, header_sender, header_recipient",
        "canonical_maps": "inline:{carl@far.example=carl@host.own.example}",
    },
    "copies": {
        "always_bcc": "archive",
        "sender_bcc_maps": "inline:{ann@own.example=audit@far.example, @far.example=spy@far.example}",
        "recipient_bcc_maps": "inline:{bob@own.example=boss@own.example, carl@far.example=carl2@far.example, "
        "ann=x@own.example}",
        "virtual_alias_maps": "inline:{archive=box@far.example, "
        "{boss@own.example = bob@own.example, chief@own.example}}",
    },
    "aliases": {
        "virtual_alias_maps": "inline:{{ann@own.example = ann@far.example, bob+list@own.example, ann@own.example}, "
        "bob=robert, robert@own.example=rob@far.example, @old.example=@new.example, "
        "{carl@far.example = a, b, c}, @catch.example=all@far.example}",
    },
    "extensions": {
        "virtual_alias_maps": "inline:{bob@own.example=rob@far.example, bob+keep@own.example=kept@far.example}",
        "canonical_maps": "inline:{ann@own.example=ann.smith@own.example}",
        "propagate_unmatched_extensions": "canonical",
    },
    "no extensions": {
        "virtual_alias_maps": "inline:{bob@own.example=rob@far.example}",
        "canonical_maps": "inline:{ann@own.example=ann.smith@own.example}",
        "propagate_unmatched_extensions": "virtual",
    },
    "off": {
        "canonical_maps": "static:x@y.example",
        "virtual_alias_maps": "static:x@y.example",
        "always_bcc": "archive",
        "receive_override_options": "no_address_mappings",
    },
    "strangers": {"canonical_maps": "inline:{ann@own.example=x@y.example}", "local_header_rewrite_clients": ""},
    "domain for strangers": {
        "canonical_maps": "inline:{ann@domain.invalid=x@y.example}",
        "local_header_rewrite_clients": "",
        "remote_header_rewrite_domain": "domain.invalid",
        "append_dot_mydomain": "yes",
    },
}
FORMS = ("append_dot_mydomain", "remote_header_rewrite_domain")
"""Parameters of trivial-rewrite."""
FOR_SMTPD = ("local_header_rewrite_clients", "receive_override_options")
"""Parameters of the other program that has to do with it."""

HEADER = b"""\
From: Ann Smith <ann>
Sender: bob@host.own.example
Reply-To: "Carl" <carl@far.example>, ann+x@own.example
To: bob, ann@old.example, Group: root@host.own.example, dora@host.own.example;
Cc: <@relay.example:carl@far.example>, far.example!eve, f%far.example,
\tgina@keep.own.example (Gina), "odd name"@own.example, h@host
Resent-From: ann
Resent-To: bob+list@own.example
Resent-Message-Id: <2@own.example>
Resent-Date: Thu, 26 Nov 2026 12:00:00 +0000
Errors-To: ann@own.example
X-To: bob
Subject: bob@own.example
Message-Id: <1@own.example>
Date: Thu, 26 Nov 2026 12:00:00 +0000

text
""".replace(b"\n", b"\r\n")
TRANSACTIONS = (
    ("ann", ["bob", "carl@far.example", "ann@old.example"]),
    ("", ["x+y@catch.example", "x+y@old.example", "bob+keep@own.example", "bob+x@own.example", "ann+y@own.example"]),
    ("s@host.far.example", ["root@host.own.example", "ann@own.example", "h@host", "bob@own.example", "bob"]),
    ("root@a.own.example", ["far.example!eve@far.example", '"odd name"@own.example', "BOB@Own.Example"]),
    ("carl@far.example", ["carl@far.example", "gina@keep.own.example"]),
)


@dataclass(frozen=True)
class Written:
    """A message as it stands in the queue."""

    sender: str
    recipients: list[tuple[str, str]]
    fields: list[tuple[bytes, object]]


def read_fields(header: bytes) -> list[tuple[bytes, object]]:
    """The fields but those that each server adds; of those with addresses the names and addresses."""
    found: list[tuple[bytes, object]] = []
    for field in scan(header):
        name = field.name.lower()
        value = field_value(header, field)
        if name == b"received":
            continue
        if name in SENDER_FIELDS or name in RECIPIENT_FIELDS:
            listed = parse_address_list(value.decode())
            found.append((name, ([(one.name, one.address) for one in listed.mailboxes], listed.invalid)))
        else:
            found.append((name, value))
    return found


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    services = []
    ports = {}
    for number, values in enumerate(CASES.values()):
        own, smtpd, forms = (
            " ".join(f"-o {{ {name} = {value} }}" for name, value in values.items() if wanted(name))
            for wanted in (lambda name: name not in FOR_SMTPD, FOR_SMTPD.__contains__, FORMS.__contains__)
        )
        services.append(f"cleanup-{number} unix n - n - 0 cleanup {own} -o rewrite_service_name=rewrite-{number}\n")
        services.append(f"rewrite-{number} unix - - n - - trivial-rewrite {forms}\n")
        ports[2600 + number] = (
            *("-o", f"cleanup_service_name=cleanup-{number}", smtpd),
            *("-o", "smtpd_client_restrictions=static:HOLD", "-o", "smtpd_reject_unlisted_recipient=no"),
        )
    with Postfix(hostname="mx.own.example", parameters=BASIS, services="".join(services), extra_ports=ports) as running:
        yield running


def quoted(address: str) -> str:
    """An address of Postfix's queue, where local parts are without quotes."""
    local, at, domain = address.rpartition("@")
    return quote_local(local) + at + domain if at else address


def theirs(postfix: Postfix, port: int, sender: str, recipients: list[str]) -> Written:
    with smtplib.SMTP(postfix.address, port, timeout=30) as client:
        client.ehlo("client.example")
        client.docmd("MAIL", f"FROM:<{sender}>")
        for recipient in recipients:
            code, text = client.docmd("RCPT", f"TO:<{recipient}>")
            assert code == 250, (recipient, text)
        code, said = client.data(HEADER)
        assert code == 250, said
    match = re.search(rb"queued as (\S+)", said)
    assert match is not None
    shown = postfix.run(["postcat", "-q", match[1].decode()]).stdout
    envelope, _, rest = shown.partition("*** MESSAGE CONTENTS")
    header, _, extracted = rest.partition("\n")[2].partition("*** HEADER EXTRACTED")
    lines = [line for line in (envelope + extracted).splitlines() if ": " in line]
    found = [tuple(line.split(": ", 1)) for line in lines]
    originals = [value for name, value in found if name == "original_recipient"]
    addresses = [value for name, value in found if name == "recipient"]
    (queued_sender,) = [line[8:] for line in envelope.splitlines() if line.startswith("sender: ")]
    pairs = sorted(zip(map(quoted, addresses), map(quoted, originals), strict=True))
    return Written(queued_sender, pairs, read_fields(header.partition("\n\n")[0].encode()))


def ours(folder: Path, values: dict[str, str], sender: str, recipients: list[str]) -> Written:
    context = {} if "local_header_rewrite_clients" in values else {"rewrite": "local"}
    settings = {"inet_interfaces": "loopback-only", "virtual_mailbox_domains": ""} | BASIS | values
    with desk(folder, **settings) as room:
        treatment = room.intake._treatment
        treatment.lookup = direct(room.config)
        treatment.addressing = Addressing(room.config, treatment.lookup)
        client = room.client()
        queue_id = client.send(
            HEADER.replace(b"\r\n", b"\n"),
            recipients=tuple(recipients),
            sender=sender,
            attributes=context,
            overrides=values.get("receive_override_options", ""),
        )
        assert client.answer().boolean("ok"), room.lines
        envelope, _, content = room.read(queue_id)
        stored = room.recipients(queue_id)
    pairs = sorted((one.address, one.original or one.address) for one in stored)
    return Written(envelope.sender, pairs, read_fields(content.partition(b"\n\n")[0]))


def reached(message: Written) -> set[str]:
    return {address.casefold() for address, _ in message.recipients}


@pytest.mark.parametrize("case", CASES)
def test_the_same_is_queued(postfix: Postfix, tmp_path: Path, case: str) -> None:
    number = list(CASES).index(case)
    for count, (sender, recipients) in enumerate(TRANSACTIONS):
        expected = theirs(postfix, 2600 + number, sender, recipients)
        found = ours(tmp_path / str(count), CASES[case], sender, recipients)
        assert found.sender == expected.sender
        # Who is reached in two ways gets two copies from Postfix (enable_original_recipient), and one from us.
        assert reached(found) == reached(expected)
        assert set(found.recipients) <= set(expected.recipients)
        assert len(found.recipients) == len(dict(found.recipients))
        assert found.fields == expected.fields
