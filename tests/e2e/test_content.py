"""What comes in goes out unchanged: into a hosted mailbox, out of IMAP and POP3, and to another server."""

from __future__ import annotations

import hashlib
import imaplib
import poplib
import random
from collections.abc import Iterator

import pytest

from tests.e2e.wire import BOB, EVE, PASSWORD, Dialogue, body, client, only, transaction, trusting
from tests.lab.instance import Instance
from tests.lab.sinks import SmtpSink

MANY = 500
LARGE = 8 << 20


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as running:
        yield running


@pytest.fixture(scope="module")
def mail(sink: SmtpSink) -> Iterator[Instance]:
    with Instance(users={BOB: PASSWORD}, settings={"relayhost": sink.nexthop}) as instance:
        yield instance


def bring(mail: Instance, name: str, text: bytes, recipients: list[str] | None = None, raw: bool = False) -> None:
    """Send a message whose text is exactly `text` (CRLF line ends, dots not yet doubled unless `raw`)."""
    content = b"Subject: %s\r\n\r\n" % name.encode() + text
    if not raw:
        lines = content.split(b"\r\n")
        content = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
    with client(mail) as session:
        session.ehlo()
        transaction(session, "carol@example.com", recipients or [BOB, EVE], [])
        code, said = session.docmd("DATA")
        assert code == 354, said
        session.send(content + b".\r\n")
        code, said = session.getreply()
        assert code == 250, said


def stored(mail: Instance, name: str) -> bytes:
    """The text of a message in Bob's mailbox."""
    wanted = b"Subject: %s\n" % name.encode()
    return body(only(lambda: [each for each in mail.mailbox(BOB) if wanted in each], mail))


def relayed(mail: Instance, sink: SmtpSink, name: str) -> bytes:
    """The text of a message as the other server got it."""
    wanted = b"Subject: %s\r\n" % name.encode()
    found = only(lambda: [each.content for each in sink.received(EVE) if wanted in each.content], mail)
    return found.partition(b"\r\n\r\n")[2]


TEXTS = {
    "plain": b"hello\r\n",
    "empty": b"",
    "eight-bit": bytes(range(0x80, 0x100)) + b"\r\n",
    "utf-8": "Grüße, 你好\r\n".encode(),
    "dots": b".\r\n..\r\n.x\r\n...\r\n. \r\nend\r\n",
    "dot-at-the-end": b"x\r\n.\r\n",
    "998-octets": b"x" * 998 + b"\r\n",
    "line-of-20000": b"y" * 20_000 + b"\r\n",
    "line-of-a-megabyte": b"z" * (1 << 20) + b"\r\n",
    "from-line": b"From here to there\r\n>From there\r\n",
    "blank-lines": b"\r\n\r\n\r\nx\r\n\r\n\r\n",
    "white-space": b" leading\r\n\ttab\r\ntrailing \r\n \r\n",
    "nul": b"a\x00b\x00\r\n\x00\r\n",
    "control": b"\x01\x02\x07\x0b\x0c\x1b[0m\x7f\r\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_stored_unchanged(mail: Instance, name: str) -> None:
    bring(mail, f"stored-{name}", TEXTS[name])
    assert stored(mail, f"stored-{name}") == TEXTS[name].replace(b"\r\n", b"\n")


@pytest.mark.parametrize("name", [name for name in TEXTS if "line-of" not in name])
def test_a_text_is_relayed_unchanged(mail: Instance, sink: SmtpSink, name: str) -> None:
    bring(mail, f"relayed-{name}", TEXTS[name])
    assert relayed(mail, sink, f"relayed-{name}") == TEXTS[name]


def test_a_long_line_is_broken_for_the_next_server(mail: Instance, sink: SmtpSink) -> None:
    bring(mail, "broken", TEXTS["line-of-20000"])
    text = relayed(mail, sink, "broken")
    assert max(map(len, text.split(b"\r\n"))) <= 998
    assert text.replace(b"\r\n ", b"").replace(b"\r\n", b"") == b"y" * 20_000


@pytest.mark.parametrize(
    ("name", "sent", "kept"),
    [
        ("bare-lf", b"one\ntwo\r\n", b"one\ntwo\n"),
        ("lf-dot-lf", b"one\n..\ntwo\r\n", b"one\n.\ntwo\n"),
        ("lf-dot-crlf", b"one\n..\r\ntwo\r\n", None),
        ("bare-cr", b"one\rtwo\r\n", b"one two\n"),
        ("cr-cr-lf", b"one\r\r\ntwo\r\n", None),
    ],
)
def test_wrong_line_ends_never_end_a_message(mail: Instance, name: str, sent: bytes, kept: bytes | None) -> None:
    bring(mail, name, sent, raw=True)
    text = stored(mail, name)
    assert b"one" in text
    assert b"two" in text
    if kept is not None:
        assert text == kept


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n"])
def test_a_second_message_cannot_be_smuggled_in(mail: Instance, end: bytes) -> None:
    name = end.hex()
    with Dialogue(mail, "smtp") as smtp:
        smtp.until(rb"^220 ")
        smtp.ask(b"EHLO client.test")
        smtp.ask(b"MAIL FROM:<carol@example.com>")
        smtp.ask(b"RCPT TO:<%s>" % BOB.encode())
        smtp.ask(b"DATA")
        smuggled = (
            b"MAIL FROM:<mallory@example.com>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: no\r\n\r\nx\r\n.\r\n"
        )
        smtp.send(b"Subject: %s\r\n\r\nfirst" % name.encode() + end + smuggled)
        assert smtp.until(rb"^\d{3} ")[:1] in (b"2", b"5")
    mail.wait_for(lambda: not mail.queue_ids())
    assert not [each for each in mail.mailbox(BOB) if each.startswith(b"Return-Path: <mallory")]


def large() -> bytes:
    noise = random.Random(1)
    return b"".join(noise.randbytes(36).hex().encode() + b"\r\n" for _ in range(LARGE // 74))


def test_a_large_message_is_stored_relayed_and_fetched_unchanged(mail: Instance, sink: SmtpSink) -> None:
    text = large()
    bring(mail, "large", text)
    assert digest(stored(mail, "large")) == digest(text.replace(b"\r\n", b"\n"))
    assert digest(relayed(mail, sink, "large")) == digest(text)
    context = trusting(mail)
    with imaplib.IMAP4_SSL(mail.address, mail.port("imaps"), ssl_context=context) as imap:
        imap.login(BOB, PASSWORD)
        imap.select("INBOX", readonly=True)
        number = imap.search(None, "SUBJECT", "large")[1][0].split()[-1].decode()
        _, (found, *_) = imap.fetch(number, "(BODY.PEEK[TEXT])")
        assert isinstance(found, tuple)
        assert digest(found[1]) == digest(text)
    pop3 = poplib.POP3_SSL(mail.address, mail.port("pop3s"), timeout=60, context=context)
    pop3.user(BOB)
    pop3.pass_(PASSWORD)
    sizes = {int(number): int(size) for number, size in (each.split() for each in pop3.list()[1])}
    _, lines, _ = pop3.retr(max(sizes, key=lambda number: sizes[number]))
    pop3.quit()
    assert digest(b"".join(line + b"\r\n" for line in lines).partition(b"\r\n\r\n")[2]) == digest(text)


def digest(data: bytes) -> str:
    """Two megabytes that differ are no failure report that anyone wants to read."""
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize("size", [1, 4096])
def test_chunks_make_the_same_message_as_data(mail: Instance, size: int) -> None:
    name = f"chunks-{size}"
    text = b"".join(b".%d\r\n" % number for number in range(100))
    content = b"Subject: %s\r\n\r\n" % name.encode() + text
    with client(mail) as session:
        session.ehlo()
        transaction(session, "carol@example.com", [BOB])
        for position in range(0, len(content), size):
            last = " LAST" if position + size >= len(content) else ""
            piece = content[position : position + size]
            session.send(b"BDAT %d%s\r\n" % (len(piece), last.encode()) + piece)
            code, said = session.getreply()
            assert code == 250, said
    assert stored(mail, name) == text.replace(b"\r\n", b"\n")


def test_sendmail_keeps_a_text_without_a_final_newline(mail: Instance) -> None:
    mail.run(["sendmail", BOB], input=b"Subject: unended\n\nno newline at the end", check=True)
    assert stored(mail, "unended") == b"no newline at the end\n"


def test_sendmail_with_i_does_not_end_at_a_dot(mail: Instance) -> None:
    mail.run(["sendmail", "-i", BOB], input=b"Subject: dotted\n\none\n.\ntwo\n", check=True)
    assert stored(mail, "dotted") == b"one\n.\ntwo\n"


def test_sendmail_without_i_ends_at_a_dot(mail: Instance) -> None:
    mail.run(["sendmail", BOB], input=b"Subject: ended\n\none\n.\ntwo\n", check=True)
    assert stored(mail, "ended") == b"one\n"


def test_many_recipients_at_another_server_all_get_it(mail: Instance, sink: SmtpSink) -> None:
    recipients = [f"user{number}@example.net" for number in range(MANY)]
    before = len(sink.messages)
    with client(mail) as session:
        session.ehlo()
        transaction(session, "carol@example.com", recipients)
        assert session.data(b"Subject: many\r\n\r\nx\r\n")[0] == 250
    mail.wait_for(lambda: not mail.queue_ids())
    taken = [each for message in sink.messages[before:] for each in message.recipients]
    assert sorted(taken) == sorted(recipients)
    assert max(len(message.recipients) for message in sink.messages[before:]) == 50


def test_many_recipients_here_all_get_it() -> None:
    users = [f"user{number}@example.org" for number in range(MANY)]
    aliases = {f"all{part}@example.org": users[part::5] for part in range(5)}
    with Instance(users={BOB: PASSWORD}) as mail:
        table = mail.config / "virtual"
        table.write_text(
            "".join(f"{name} {', '.join(members)}\n" for name, members in aliases.items())
            + "".join(f"{user} bob+{number}@example.org\n" for number, user in enumerate(users))
        )
        table.chmod(0o644)
        mail.run(["postmap", f"hash:{table}"], check=True)
        mail.set("virtual_alias_maps", f"hash:{table}")
        mail.set("recipient_delimiter", "+")
        mail.stop()
        mail.start()
        with client(mail) as session:
            session.ehlo()
            transaction(session, "carol@example.com", list(aliases))
            assert session.data(b"Subject: all\r\n\r\nx\r\n")[0] == 250
        mail.wait_for(lambda: len(mail.mailbox(BOB)) >= MANY, timeout=60)
        mail.wait_for(lambda: not mail.queue_ids())
        delivered = {
            line for each in mail.mailbox(BOB) for line in each.splitlines() if line.startswith(b"Delivered-To")
        }
        assert delivered == {b"Delivered-To: bob+%d@example.org" % number for number in range(MANY)}


def test_recipients_beyond_the_limit_are_put_off(mail: Instance) -> None:
    with Dialogue(mail, "smtp") as smtp:
        smtp.until(rb"^220 ")
        smtp.ask(b"EHLO client.test")
        smtp.ask(b"MAIL FROM:<carol@example.com>")
        smtp.send(b"".join(b"RCPT TO:<u%d@example.net>\r\n" % number for number in range(1001)))
        replies = [smtp.line() for _ in range(1001)]
    assert all(reply == b"250 2.1.5 Ok" for reply in replies[:1000])
    assert replies[1000] == b"452 4.5.3 Error: too many recipients"
