"""Names outside beside a real Postfix: the same generic tables and header checks give the next server the same."""

from __future__ import annotations

import os
import smtplib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.delivery import DeliveryRecipient
from tests.cleanup.test_like_postfix import read_fields
from tests.lab.sinks import Message, SmtpSink
from tests.lookup.serving import configuration, served
from tests.peers.postfix import Postfix
from tests.smtp_client.conftest import ClientUnderTest

BASIS = {
    "myhostname": "mx.own.example",
    "mydomain": "own.example",
    "myorigin": "own.example",
    "mydestination": "mx.own.example, own.example",
    "recipient_delimiter": "+",
}
CASES = {
    "generic": {
        "smtp_generic_maps": "inline:{ann@own.example=ann.smith@outer.example, bob=robert@outer.example, "
        "@inner.example=@outer.example, chain@far.example=bob@own.example, carl+box@own.example=c@outer.example}",
    },
    "extensions": {
        "smtp_generic_maps": "inline:{ann@own.example=ann.smith@outer.example, @inner.example=all@outer.example}",
        "propagate_unmatched_extensions": "generic",
    },
    "checks": {
        "smtp_header_checks": "regexp:RULES",
        "smtp_mime_header_checks": "regexp:RULES",
        "smtp_generic_maps": "inline:{@inner.example=@outer.example}",
    },
    "parts": {
        "smtp_mime_header_checks": "regexp:RULES",
        "smtp_nested_header_checks": "regexp:RULES",
        "smtp_body_checks": "regexp:RULES",
    },
    "bodies": {
        "smtp_body_checks": "regexp:RULES",
        "smtp_header_checks": "regexp:RULES",
    },
}
RULES = """\
/^X-One:/ IGNORE
/^X-Two: (.*)/ REPLACE X-Two: two$1
/^X-Three:/ REJECT no
/^X-Four:/ STRIP
/^Subject: names/ PREPEND X-Subject: yes
/^MIME-Version:/ REPLACE MIME-Version: 1.0 (ours)
/^Content-Type:/ WARN look
/^Content-Description: (.*)/ REPLACE Content-Description: my $1
/^Body: gone/ IGNORE
/^Body: strip/ STRIP no
/^Body: (other)/ REPLACE $1
/^Body: before/ PREPEND behind what
/^Body: reject/ REJECT no
/^Body: hold/ HOLD
/^Body: bare/ REPLACE
/^long y*$/ REPLACE long
/^y*$/ REPLACE piece
/^X-Nested:/ REPLACE no field
/^--inner/ IGNORE
"""
CONTENT = b"""\
From: Ann <ann@own.example>
Sender: bob@own.example
To: "B, C" <bob+x@own.example>, chain@far.example (Chain), Group: d@inner.example, carl+box@own.example;
Cc: ann+y@own.example,
\te+z@inner.example
X-One: 1
X-Two: 2
X-Three: 3
X-Four: 4
X-Five: 5
X-To: ann@own.example
Subject: names
MIME-Version: 1.0
Content-Type: text/plain
Message-Id: <1@own.example>
Date: Thu, 26 Nov 2026 12:00:00 +0000

ann@own.example
"""
PARTS = b"""\
From: ann@own.example
Subject: names
X-One: 1
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer"
Content-Description: all
Message-Id: <2@own.example>
Date: Thu, 26 Nov 2026 12:00:00 +0000

X-One: preamble
--outer
Content-Type: text/plain
Content-Description: text
X-One: 1
X-Five: 5

Body: gone
Body: strip
Body: other
Body: before
Body: reject
Body: hold
Body: bare
Body: kept
X-One: 1
Subject: names
%s

--outer
Content-Type: message/rfc822

From: ann@own.example
Subject: names
X-Two: 2
X-Nested: 1
Content-Type: multipart/alternative; boundary="inner"
Content-Description: nested

--inner
X-Two: 2

Body: gone
Body: other
--inner--
--outer--
Body: gone
X-Four: epilogue
""" % (b"long " + b"y" * 5000)
SENDERS = ("ann@own.example", "bob+x@own.example", "e+z@inner.example", "")
RECIPIENTS = ("chain@far.example", "f@far.example", "g@inner.example", "ann+y@own.example")


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as running:
        yield running


@pytest.fixture(scope="module")
def cases() -> Iterator[dict[str, dict[str, str]]]:
    """The cases with the rules in a file that everybody may read."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "rules")
        path.write_text(RULES)
        path.chmod(0o644)
        yield {
            name: {key: value.replace("RULES", str(path)) for key, value in values.items()}
            for name, values in CASES.items()
        }


@pytest.fixture(scope="module")
def postfix(sink: SmtpSink, cases: dict[str, dict[str, str]]) -> Iterator[Postfix]:
    services = [
        f"out-{name} unix - - n - - smtp {' '.join(f'-o {{ {key} = {value} }}' for key, value in values.items())}\n"
        for name, values in cases.items()
    ]
    ports = {2600 + n: ("-o", f"content_filter=out-{name}:{sink.nexthop}") for n, name in enumerate(CASES)}
    parameters = BASIS | {"receive_override_options": "no_address_mappings"}
    with Postfix(hostname="mx.own.example", parameters=parameters, services="".join(services), extra_ports=ports) as it:
        yield it


def seen(messages: list[Message]) -> list[object]:
    """What the server saw, but what each client adds of its own."""
    (message,) = messages
    header, _, body = message.content.partition(b"\r\n\r\n")
    fields = [one for one in read_fields(header.replace(b"\r\n", b"\n") + b"\n") if one[0] != b"received"]
    return [message.sender, sorted(message.recipients), fields, body]


@pytest.mark.parametrize("case", CASES)
def test_the_next_server_sees_the_same(
    client: ClientUnderTest,
    tmp_path: Path,
    sink: SmtpSink,
    postfix: Postfix,
    cases: dict[str, dict[str, str]],
    case: str,
) -> None:
    # Nothing is shared with the case's other runs but the server, which begins anew each time.
    settings = BASIS | cases[case]
    client.parameters |= cases[case] | {"queue_directory": str(tmp_path)}
    with served(configuration(tmp_path, **settings)):
        for sender, text in [*((sender, CONTENT) for sender in SENDERS), (SENDERS[0], PARTS)]:
            known = len(sink.messages)
            with smtplib.SMTP(postfix.address, 2600 + list(CASES).index(case), timeout=30) as session:
                session.sendmail(sender, RECIPIENTS, text.replace(b"\n", b"\r\n"))
            postfix.wait_for(lambda: len(sink.messages) > known)  # noqa: B023 - it is called before the next round
            theirs = seen(sink.messages[known:])
            known = len(sink.messages)
            recipients = [DeliveryRecipient(n, address) for n, address in enumerate(RECIPIENTS)]
            outcome = client.deliver_one(sink.nexthop, recipients, text, sender=sender)
            assert {result.status for result in outcome.results.values()} == {"sent"}
            for ours, wanted in zip(seen(sink.messages[known:]), theirs, strict=True):
                assert ours == wanted
