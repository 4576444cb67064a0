"""Mail for system users: mailboxes, aliases of every kind, forward files, owners, loops.  Needs root, for the users."""

from __future__ import annotations

import itertools
import os
import re
import smtplib
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.users import NOBODY, UserInstance
from tests.e2e.wire import BOB, EVE, HELLO, Dialogue, body, only, parsed, send
from tests.lab.sinks import SmtpSink

HOST = "mx.example.org"
USERS = ("ann", "ben", "cleo", "dora", "emil", "fred", "gina")

_number = itertools.count()


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as running:
        yield running


@pytest.fixture(scope="module")
def mail(sink: SmtpSink) -> Iterator[UserInstance]:
    options = {"relayhost": sink.nexthop, "recipient_delimiter": "+"}
    with UserInstance(USERS, users={BOB: "secret"}, settings=options) as instance:
        yield instance


@pytest.fixture
def label() -> bytes:
    return b"message-%d" % next(_number)


def marked(label: bytes) -> bytes:
    return HELLO.replace(b"hello", label)


def alias(mail: UserInstance, *lines: str) -> None:
    """Add aliases and put them into force."""
    path = mail.config / "aliases"
    path.write_text(path.read_text() + "".join(f"{line}\n" for line in lines))
    mail.run(["newaliases"], check=True)
    for line in lines:
        name = line.partition(":")[0]
        mail.wait_for(lambda: accepted(mail, f"{name}@{HOST}"))  # noqa: B023 - it is called before the next round


def accepted(mail: UserInstance, address: str) -> bool:
    """Whether port 25 takes mail for an address."""
    with Dialogue(mail, "smtp") as smtp:
        smtp.until(rb"^220 ")
        smtp.ask(b"EHLO client.test")
        smtp.ask(b"MAIL FROM:<carol@example.com>")
        return smtp.ask(b"RCPT TO:<%s>" % address.encode()).startswith(b"250")


def deposit(mail: UserInstance, name: str) -> Path:
    """A directory that the user of root's aliases (default_privs) may write into."""
    path = mail.directory / name
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)
    return path


def content(path: Path, label: bytes, mail: UserInstance) -> bytes:
    mail.wait_for(lambda: path.exists() and label in path.read_bytes())
    return path.read_bytes()


def in_bob(mail: UserInstance, label: bytes) -> Callable[[], list[bytes]]:
    return lambda: [each for each in mail.mailbox(BOB) if label in each]


def test_mail_for_a_user_goes_into_the_spool_file(mail: UserInstance, label: bytes) -> None:
    send(mail, f"ann@{HOST}", marked(label))
    mail.wait_for(lambda: label in mail.spool_file("ann"))
    (letter,) = re.findall(rb"(?ms)^From .*?^%s\n\n" % label, mail.spool_file("ann"))
    assert re.match(
        rb"From carol@example\.com  \w{3} \w{3} [ \d]\d [\d:]{8} \d{4}\n"
        rb"Return-Path: <carol@example\.com>\n(X-Original-To: ann@mx\.example\.org\n)?"
        rb"Delivered-To: ann@mx\.example\.org\nReceived: ",
        letter,
    ), letter


def test_the_spool_file_is_the_users_own(mail: UserInstance, label: bytes) -> None:
    send(mail, f"ben@{HOST}", marked(label))
    mail.wait_for(lambda: label in mail.spool_file("ben"))
    status = (mail.directory / "var-mail" / "ben").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (mail.uids["ben"], 0o600)


def test_sendmail_completes_a_bare_user_name(mail: UserInstance, label: bytes) -> None:
    mail.run(["sendmail", "ann"], input=b"Subject: x\n\n" + label + b"\n", check=True)
    mail.wait_for(lambda: label in mail.spool_file("ann"))


def test_two_letters_to_one_user_are_two_in_the_mbox(mail: UserInstance, label: bytes) -> None:
    for _ in range(2):
        send(mail, f"ann@{HOST}", marked(label) + b"From here on\r\n")
    mail.wait_for(lambda: mail.spool_file("ann").count(label) == 2)
    assert mail.spool_file("ann").count(label + b"\n>From here on\n\n") == 2, "a From line in the text was not quoted"


def test_the_delivery_is_logged_as_postfix_does(mail: UserInstance, label: bytes) -> None:
    send(mail, f"ann@{HOST}", marked(label))
    mail.wait_for(
        lambda: mail.log_matching(
            r"local\[\d+\]: \w+: to=<ann@mx\.example\.org>, relay=local, delay=[\d.]+, delays=[\d./]+, dsn=2\.0\.0, "
            r"status=sent \(delivered to mailbox\)"
        )
    )


def test_an_unknown_user_is_refused(mail: UserInstance) -> None:
    with Dialogue(mail, "smtp") as smtp:
        smtp.until(rb"^220 ")
        smtp.ask(b"EHLO client.test")
        smtp.ask(b"MAIL FROM:<carol@example.com>")
        assert smtp.ask(b"RCPT TO:<zoe@mx.example.org>") == (
            b"550 5.1.1 <zoe@mx.example.org>: Recipient address rejected: User unknown in local recipient table"
        )


def test_an_unknown_user_from_sendmail_comes_back(mail: UserInstance, label: bytes) -> None:
    mail.run(["sendmail", "-f", BOB, "zoe"], input=b"Subject: x\n\n" + label + b"\n", check=True)
    found = only(in_bob(mail, label), mail)
    assert parsed(found)["Subject"] == "Undelivered Mail Returned to Sender"
    assert b"Status: 5.1.1\n" in found
    assert b'unknown user: "zoe"' in found


# Aliases


def test_an_alias_to_an_address(mail: UserInstance, sink: SmtpSink, label: bytes) -> None:
    alias(mail, f"sales: {EVE}, ann", f"sell: sales, {BOB}")
    send(mail, f"sell@{HOST}", marked(label))
    mail.wait_for(lambda: label in mail.spool_file("ann"))
    only(in_bob(mail, label), mail)
    only(lambda: [each.content for each in sink.received(EVE) if label in each.content], mail)


def test_an_alias_to_a_file(mail: UserInstance, label: bytes) -> None:
    path = deposit(mail, "archive") / "letters"
    alias(mail, f"archive: {path}")
    send(mail, f"archive@{HOST}", marked(label))
    text = content(path, label, mail)
    assert text.startswith(b"From carol@example.com  ")
    assert path.stat().st_uid == NOBODY, "a file of root's aliases belongs to default_privs"


def test_an_alias_to_a_command(mail: UserInstance, label: bytes) -> None:
    path = deposit(mail, "command") / "out"
    script = f"id -u > {path}; echo $SENDER $RECIPIENT $LOCAL $DOMAIN >> {path}; cat >> {path}"
    alias(mail, f"robot: \"|/bin/sh -c '{script}'\"")
    send(mail, f"robot@{HOST}", marked(label))
    lines = content(path, label, mail).splitlines()
    assert lines[:2] == [b"65534", b"carol@example.com robot@mx.example.org robot mx.example.org"]
    mail.wait_for(lambda: mail.log_matching(r"to=<robot@mx\.example\.org>.*status=sent \(delivered to command: "))


def test_each_member_of_a_long_list_has_a_fate_of_its_own(mail: UserInstance, sink: SmtpSink, label: bytes) -> None:
    """A few thousand members: one message, and of those who fail one by one."""
    members = [f"member{number}@far.example" for number in range(2500)]
    path = mail.write("ann", "long-list", "".join(f"{member}\n" for member in members))
    sink.replies["rcpt"] = {members[7]: "550 5.1.1 no such member", members[1999]: "450 4.2.1 later"}
    try:
        alias(mail, f"long: :include:{path}", f"owner-long: {BOB}")
        send(mail, f"long@{HOST}", marked(label))

        def reached() -> set[str]:
            return {each for message in sink.messages if label in message.content for each in message.recipients}

        mail.wait_for(lambda: len(reached()) == len(members) - 2)
        assert reached() == set(members) - {members[7], members[1999]}
        (line,) = mail.log_matching(rf"to=<long@{HOST}>, relay=local, .*status=sent \(forwarded as \w+\)")
        queue_id = line.rpartition(" ")[2].rstrip(")")
        mail.wait_for(lambda: mail.log_matching(rf"{queue_id}: to=<{members[7]}>, .*dsn=5\.1\.1, status=bounced"))
        mail.wait_for(lambda: mail.log_matching(rf"{queue_id}: to=<{members[1999]}>, .*dsn=4\.2\.1, status=deferred"))
        only(lambda: [each for each in mail.mailbox(BOB) if members[7].encode() in each], mail)
        assert {message.sender for message in sink.messages if label in message.content} == {f"owner-long@{HOST}"}
        mail.run(["postsuper", "-d", queue_id], check=True)
    finally:
        sink.replies.clear()


def test_an_alias_to_an_include_file(mail: UserInstance, sink: SmtpSink, label: bytes) -> None:
    members = mail.directory / "members"
    members.write_text(f"# the list\nann\n{EVE}, {BOB}\n")
    members.chmod(0o644)
    alias(mail, f"members: :include:{members}")
    send(mail, f"members@{HOST}", marked(label))
    mail.wait_for(lambda: label in mail.spool_file("ann"))
    only(in_bob(mail, label), mail)
    only(lambda: [each.content for each in sink.received(EVE) if label in each.content], mail)


def test_a_command_that_fails_bounces_with_what_it_said(mail: UserInstance, label: bytes) -> None:
    alias(mail, "broken: \"|/bin/sh -c 'echo no luck; exit 1'\"")
    send(mail, f"broken@{HOST}", marked(label), sender=BOB)
    found = only(in_bob(mail, label), mail)
    assert b"Command died with status 1" in b" ".join(found.split())
    assert b"Command output: no luck" in b" ".join(found.split())


def test_a_command_that_asks_for_time_is_tried_again(mail: UserInstance, label: bytes) -> None:
    alias(mail, "later: \"|/bin/sh -c 'exit 75'\"")
    send(mail, f"later@{HOST}", marked(label), sender=BOB)
    mail.wait_for(lambda: mail.log_matching(r"to=<later@mx\.example\.org>.*status=deferred \(temporary failure"))
    (queue_id,) = mail.queue_ids()
    mail.run(["postsuper", "-d", queue_id], check=True)


def test_the_owner_of_a_list_gets_its_bounces(mail: UserInstance, sink: SmtpSink, label: bytes) -> None:
    alias(mail, f"club: {EVE}, no-such-user", f"owner-club: {BOB}")
    send(mail, f"club@{HOST}", marked(label), sender="carol@example.com")
    mail.wait_for(lambda: sink.received(EVE) and label in sink.received(EVE)[-1].content)
    assert sink.received(EVE)[-1].sender == f"owner-club@{HOST}"
    report = only(in_bob(mail, label), mail)
    assert parsed(report)["To"] == f"owner-club@{HOST}"
    assert not any(label in message.content for message in sink.received("carol@example.com"))


def test_aliases_that_lead_to_each_other_end_as_a_bounce(mail: UserInstance, label: bytes) -> None:
    alias(mail, "ping: pong", "pong: ping")
    send(mail, f"ping@{HOST}", marked(label), sender=BOB)
    mail.wait_for(lambda: mail.log_matching(r"(orig_to|to)=<p[io]ng@mx\.example\.org>.*status=bounced"))
    assert b"Status: 5.4.6" in only(in_bob(mail, label), mail)


def test_a_change_without_newaliases_is_not_in_force(mail: UserInstance) -> None:
    with (mail.config / "aliases").open("a") as file:
        file.write("unbuilt: ann\n")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(mail, f"unbuilt@{HOST}")
    mail.run(["newaliases"], check=True)
    mail.wait_for(lambda: accepted(mail, f"unbuilt@{HOST}"))


# Forward files


def test_a_forward_file_sends_mail_on(mail: UserInstance, sink: SmtpSink, label: bytes) -> None:
    mail.write("cleo", ".forward", f"{EVE}\n")
    send(mail, f"cleo@{HOST}", marked(label))
    only(lambda: [each.content for each in sink.received(EVE) if label in each.content], mail)
    assert label not in mail.spool_file("cleo")


def test_a_forward_file_can_keep_a_copy(mail: UserInstance, label: bytes) -> None:
    mail.write("dora", ".forward", f"\\dora, {BOB}\n")
    send(mail, f"dora@{HOST}", marked(label))
    only(in_bob(mail, label), mail)
    mail.wait_for(lambda: label in mail.spool_file("dora"))


def test_a_command_in_a_forward_file_runs_as_the_user(mail: UserInstance, label: bytes) -> None:
    out = mail.home("emil") / "out"
    mail.write("emil", ".forward", f"\"|/bin/sh -c 'id -u > {out}; pwd >> {out}; cat >> {out}'\"\n")
    send(mail, f"emil@{HOST}", marked(label))
    lines = content(out, label, mail).decode().splitlines()
    assert lines[:2] == [str(mail.uids["emil"]), str(mail.home("emil"))]


def test_a_file_in_a_forward_file_is_written_as_the_user(mail: UserInstance, label: bytes) -> None:
    mine, yours = mail.home("fred") / "kept", mail.home("ann") / "stolen"
    mail.write("fred", ".forward", f"{mine}, {yours}\n")
    send(mail, f"fred@{HOST}", marked(label), sender=BOB)
    content(mine, label, mail)
    assert mine.stat().st_uid == mail.uids["fred"]
    mail.wait_for(lambda: mail.log_matching(r"to=<fred@mx\.example\.org>.*status=(bounced|deferred)"))
    assert not yours.exists()
    for queue_id in mail.queue_ids():
        mail.run(["postsuper", "-d", queue_id], check=True)


def test_an_extension_has_a_forward_file_of_its_own(mail: UserInstance, label: bytes) -> None:
    mail.write("gina", ".forward+work", f"{BOB}\n")
    send(mail, f"gina+work@{HOST}", marked(label))
    only(in_bob(mail, label), mail)
    send(mail, f"gina+other@{HOST}", marked(label + b"-other"))
    mail.wait_for(lambda: label + b"-other" in mail.spool_file("gina"))


def test_a_message_that_comes_back_is_a_loop(mail: UserInstance, label: bytes) -> None:
    looped = b"Delivered-To: ann@mx.example.org\r\n" + marked(label)
    send(mail, f"ann@{HOST}", looped, sender=BOB)
    found = only(in_bob(mail, label), mail)
    assert b"Status: 5.4.6" in found
    assert b"mail forwarding loop for ann@mx.example.org" in found


# Maildirs of system users


def test_home_mailbox_can_be_a_maildir() -> None:
    with UserInstance(["ann"], settings={"home_mailbox": "Maildir/"}) as mail:
        send(mail, f"ann@{HOST}")
        new = mail.home("ann") / "Maildir" / "new"
        mail.wait_for(lambda: new.exists() and list(new.iterdir()))
        (letter,) = new.iterdir()
        assert body(letter.read_bytes()) == b"hello\n"
        assert letter.stat().st_uid == mail.uids["ann"]


def test_a_message_with_more_hops_than_allowed_comes_back(mail: UserInstance, label: bytes) -> None:
    hops = b"".join(b"Received: from a%d by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" % each for each in range(60))
    with pytest.raises(smtplib.SMTPDataError) as error:
        send(mail, f"ann@{HOST}", hops + marked(label))
    assert (error.value.smtp_code, error.value.smtp_error) == (554, b"5.4.0 Error: too many hops")
