"""Names that mail bears outside: generic addresses, senders of mail sent on, header fields as others see them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.delivery import DeliveryRecipient
from tests.lookup.serving import configuration, served
from tests.smtp_client.conftest import ClientUnderTest
from tests.smtp_client.fake_server import fake_server

MESSAGE = (
    b"From: Ann <ann@inner.test>\nTo: bob@far.test,\n\tcarl@inner.test (Carl)\nReceived: for ann@inner.test\n"
    b"Content-Type: text/plain\nX-Host: secret.inner.test\nSubject: ann@inner.test\n\nann@inner.test\n"
)


@contextmanager
def outside(client: ClientUnderTest, folder: Path, **values: str) -> Iterator[Config]:
    """The client and a look-up service with these parameters."""
    config = configuration(folder, virtual_mailbox_domains="hosted.test", virtual_mailbox_maps="", **values)
    client.parameters |= values | {"queue_directory": str(folder)}
    with served(config):
        yield config


def test_generic_addresses_are_told_in_envelope_and_header(client: ClientUnderTest, tmp_path: Path) -> None:
    tables = "inline:{@inner.test=@outer.test, ann@inner.test=ann.smith@outer.test}"
    with outside(client, tmp_path, smtp_generic_maps=tables), fake_server() as server:
        outcome = client.deliver_one(
            server.nexthop, ["bob@far.test", "carl@inner.test"], MESSAGE, sender="ann@inner.test"
        )
        assert {result.status for result in outcome.results.values()} == {"sent"}
        assert [command.split(" SIZE")[0] for command in server.commands[1:4]] == [
            "MAIL FROM:<ann.smith@outer.test>",
            "RCPT TO:<bob@far.test> ORCPT=rfc822;bob@far.test",
            "RCPT TO:<carl@outer.test> ORCPT=rfc822;carl@inner.test",
        ]
        expected = MESSAGE.replace(b"<ann@inner.test>", b"<ann.smith@outer.test>")
        expected = expected.replace(b"carl@inner.test", b"carl@outer.test").replace(b"\n", b"\r\n")
        assert server.messages == [expected]
        assert f"SIZE={len(expected.replace(bytes((13, 10)), bytes((10,))))} " in f"{server.commands[1]} "
    assert "to=<carl@inner.test>" in "".join(outcome.log), "our log has our names"


def test_nobody_has_no_generic_name(client: ClientUnderTest, tmp_path: Path) -> None:
    with outside(client, tmp_path, smtp_generic_maps="static:x@outer.test"), fake_server() as server:
        client.deliver_one(server.nexthop, sender="")
        assert server.commands[1].startswith("MAIL FROM:<> ")


def test_a_long_message_is_streamed_behind_its_new_header(client: ClientUnderTest, tmp_path: Path) -> None:
    body = b"".join(b"line %d\n" % number for number in range(30_000))
    with outside(client, tmp_path, smtp_generic_maps="inline:{a@inner.test=b@outer.test}"), fake_server() as server:
        client.deliver_one(server.nexthop, ["b@b.test"], b"From: a@inner.test\n\n" + body)
        assert server.messages == [(b"From: b@outer.test\n\n" + body).replace(b"\n", b"\r\n")]


def test_a_table_that_cannot_be_asked_lets_mail_wait(client: ClientUnderTest, tmp_path: Path) -> None:
    with outside(client, tmp_path, smtp_generic_maps="fail:x"), fake_server() as server:
        outcome = client.deliver_one(server.nexthop)
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.3.0")
        assert server.commands == []


def secrets(folder: Path) -> dict[str, str]:
    file = folder / "srs.secret"
    file.write_text("a secret that is long\n")
    file.chmod(0o600)
    return {"srs_domain": "own.test", "srs_secret_file": str(file)}


def test_mail_sent_on_has_a_sender_of_ours_and_other_mail_has_not(client: ClientUnderTest, tmp_path: Path) -> None:
    with outside(client, tmp_path, **secrets(tmp_path)), fake_server() as server:
        recipients = [
            DeliveryRecipient(1, "bob@far.test", "bob@hosted.test"),
            DeliveryRecipient(2, "carl@far.test"),
            DeliveryRecipient(3, "dora@far.test", "dora@hosted.test"),
            DeliveryRecipient(4, "eve@far.test", "EVE@far.test"),
        ]
        outcome = client.deliver_one(server.nexthop, recipients, sender="s@stranger.test")
        assert {result.status for result in outcome.results.values()} == {"sent"}
        senders = [command.split("<")[1].split(">")[0] for command in server.commands if command.startswith("MAIL")]
        assert len(senders) == 2 and senders[1] == "s@stranger.test"
        assert senders[0].startswith("SRS0=") and senders[0].endswith("=stranger.test=s@own.test")
        told = [command.split("<")[1].split(">")[0] for command in server.commands if command.startswith("RCPT")]
        assert told == ["bob@far.test", "dora@far.test", "carl@far.test", "eve@far.test"]
        assert len(server.messages) == 2


def test_our_own_mail_keeps_its_sender_when_it_is_sent_on(client: ClientUnderTest, tmp_path: Path) -> None:
    with outside(client, tmp_path, **secrets(tmp_path)), fake_server() as server:
        for sender in ("s@hosted.test", ""):
            client.deliver_one(server.nexthop, [DeliveryRecipient(1, "bob@far.test", "bob@hosted.test")], sender=sender)
        senders = [command.split("<")[1].split(">")[0] for command in server.commands if command.startswith("MAIL")]
        assert senders == ["s@hosted.test", ""]


CHECKS = (
    r"inline:{{X-Host: secret.inner.test = IGNORE}, {Subject: ann@inner.test = REPLACE Subject: none}, "
    r"{From: Ann <ann@inner.test> = PREPEND X-Before: yes}, {Received: for ann@inner.test = %s}, "
    r"{Content-Type: text/plain = IGNORE}}"
)


@pytest.mark.parametrize("action", ["DUNNO", "WARN look", "INFO look", "REJECT no", "HOLD", "nonsense"])
def test_fields_change_on_the_way_out_and_nothing_else_does(client: ClientUnderTest, action: str) -> None:
    client.parameters["smtp_header_checks"] = CHECKS % action
    with fake_server() as server:
        outcome = client.deliver_one(server.nexthop, content=MESSAGE)
        expected = MESSAGE.replace(b"X-Host: secret.inner.test\n", b"").replace(
            b"Subject: ann@inner.test", b"Subject: none"
        )
        assert server.messages == [(b"X-Before: yes\n" + expected).replace(b"\n", b"\r\n")]
        assert outcome.one.status == "sent"
    lines = "".join(outcome.log)
    assert ("look" in lines) is ("look" in action)
    assert ("cannot be done to mail on its way out" in lines) is (action in ("REJECT no", "HOLD", "nonsense"))
    assert "replace: header Subject: ann@inner.test; from=<a@a.test> to=<b@b.test>: Subject: none" in lines


@pytest.mark.parametrize("action", ["REPLACE no field", "PREPEND no field", "REPLACE", "PREPEND :x"])
def test_what_is_no_field_does_not_end_the_header(client: ClientUnderTest, action: str) -> None:
    client.parameters["smtp_header_checks"] = f"inline:{{ {{X-Host: secret.inner.test = {action}}} }}"
    with fake_server() as server:
        outcome = client.deliver_one(server.nexthop, content=MESSAGE)
        assert server.messages == [MESSAGE.replace(b"\n", b"\r\n")]
    assert f"{action.split()[0]} " in "".join(line for line in outcome.log if "smtp_header_checks map" in line)


def test_mime_fields_have_a_table_of_their_own(client: ClientUnderTest) -> None:
    client.parameters["smtp_mime_header_checks"] = CHECKS % "IGNORE"
    with fake_server() as server:
        client.deliver_one(server.nexthop, content=MESSAGE)
        assert server.messages == [MESSAGE.replace(b"Content-Type: text/plain\n", b"").replace(b"\n", b"\r\n")]


PARTS = b"""\
Subject: parts
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain
X-Part: one

secret line
kept

--b
Content-Type: message/rfc822

Subject: inside
Content-Type: text/plain; name=inside

secret too
last secret
--b--
"""


@pytest.mark.parametrize(
    "checks, edits",
    [
        ({"smtp_body_checks": "/^secret/ IGNORE"}, [(b"secret line\n", b""), (b"secret too\n", b"")]),
        ({"smtp_body_checks": "/^(.*) secret$/ REPLACE $1 word"}, [(b"last secret", b"last word")]),
        ({"smtp_body_checks": "/^kept/ PREPEND no: field"}, [(b"kept", b"no: field\nkept")]),
        ({"smtp_body_checks": "/^/ WARN every line"}, []),
        ({"smtp_body_checks": "/^$/ REPLACE empty"}, []),
        ({"smtp_body_checks": "/^(Subject|X-Part|Content-Type):/ IGNORE"}, []),
        ({"smtp_body_checks": "/secret/ REJECT no"}, []),
        ({"smtp_nested_header_checks": "/./ IGNORE"}, [(b"Subject: inside\n", b"")]),
        ({"smtp_mime_header_checks": "/^X-Part/ IGNORE"}, [(b"X-Part: one\n", b"")]),
        (
            {"smtp_mime_header_checks": "/name=inside/ REPLACE Content-Type: x/y"},
            [(b"text/plain; name=inside", b"x/y")],
        ),
        ({"smtp_header_checks": "/./ IGNORE"}, [(b"Subject: parts\n", b"")]),
        (
            {"smtp_header_checks": "/^Subject/ IGNORE", "smtp_body_checks": "/^kept/ IGNORE"},
            [(b"Subject: parts\n", b""), (b"kept\n", b"")],
        ),
    ],
)
def test_parts_and_bodies_change_on_the_way_out(
    client: ClientUnderTest, checks: dict[str, str], edits: list[tuple[bytes, bytes]]
) -> None:
    for name, rule in checks.items():
        client.parameters[name] = f"regexp:{{ {{{rule}}} }}"
    with fake_server() as server:
        outcome = client.deliver_one(server.nexthop, content=PARTS)
    expected = PARTS
    for old, new in edits:
        assert expected.count(old) == 1
        expected = expected.replace(old, new)
    assert server.messages == [expected.replace(b"\n", b"\r\n")]
    if edits:
        size = f" SIZE={len(expected)}"
        assert size in server.commands[1]
    lines = "".join(outcome.log)
    if "WARN" in str(checks):
        assert "warning: body secret line; from=<a@a.test> to=<b@b.test>: every line" in lines
    assert ("smtp_body_checks" in lines) is ("REJECT" in str(checks))


def test_lines_of_a_long_body_change_where_they_stand(client: ClientUnderTest) -> None:
    body = b"".join(b"line %d\n" % number for number in range(30_000)) + b"y" * 5000
    client.parameters["smtp_body_checks"] = "pcre:{ {/^line (\\d*77)$/ REPLACE number $1}, {/^y*$/ REPLACE z} }"
    with fake_server() as server:
        assert client.deliver_one(server.nexthop, content=b"From: a@inner.test\n\n" + body).one.status == "sent"
    changed = re.sub(rb"(?m)^line (\d*77)$", rb"number \1", body).replace(b"y" * 5000, b"zzz")
    assert server.messages == [(b"From: a@inner.test\n\n" + changed + b"\n").replace(b"\n", b"\r\n")]


def test_where_too_much_would_change_mail_waits(client: ClientUnderTest) -> None:
    body = b"a\nb\n" * 30_000
    client.parameters["smtp_body_checks"] = "regexp:{ {/a/ REPLACE c} }"
    with fake_server() as server:
        outcome = client.deliver_one(server.nexthop, content=b"From: a@inner.test\n\n" + body)
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.3.0")
        assert server.messages == []
    assert "would have to be remembered of what changes in the message" in "".join(outcome.log)


def test_lines_that_go_side_by_side_are_one_change(client: ClientUnderTest) -> None:
    body = b"a\n" * 60_000 + b"b\n"
    client.parameters["smtp_body_checks"] = "regexp:{ {/a/ IGNORE} }"
    with fake_server() as server:
        assert client.deliver_one(server.nexthop, content=b"From: x@y.test\n\n" + body).one.status == "sent"
        assert server.messages == [b"From: x@y.test\r\n\r\nb\r\n"]


def test_a_body_of_octets_changes_too(client: ClientUnderTest) -> None:
    client.parameters["smtp_body_checks"] = "regexp:{ {/^old/ REPLACE new} }"
    with fake_server() as server:
        outcome = client.deliver_one(server.nexthop, content=b"From: x@y.test\n\n\xe4\nold\n", body="8bitmime")
        assert outcome.one.status == "sent"
        assert b"new" in server.messages[0] and b"old" not in server.messages[0]


@pytest.mark.parametrize("parameter", ["smtp_body_checks", "smtp_nested_header_checks"])
def test_a_table_of_the_body_that_fails_lets_mail_wait(client: ClientUnderTest, parameter: str) -> None:
    client.parameters[parameter] = "fail:x"
    with fake_server() as server:
        assert client.deliver_one(server.nexthop, content=PARTS).one.status == "deferred"
        assert server.commands == []


def test_a_check_that_fails_lets_mail_wait(client: ClientUnderTest) -> None:
    client.parameters["smtp_header_checks"] = "fail:x"
    with fake_server() as server:
        assert client.deliver_one(server.nexthop).one.status == "deferred"
        assert server.commands == []
