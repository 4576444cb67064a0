"""Python's own smtplib, imaplib and poplib, in the ways that scripts use them."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import time
from email.header import Header
from email.message import EmailMessage
from email.mime.text import MIMEText

import pytest

from tests.clients.site import Account, Site, letter

HOST = "localhost"


def imap_of(site: Site, account: Account) -> imaplib.IMAP4:
    client = imaplib.IMAP4_SSL(HOST, site.port("imaps"), ssl_context=site.authority.client_context)
    client.login(account.address, account.password)
    return client


def test_smtplib_submits_a_message_with_names_in_other_scripts(site: Site, account: Account) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = account.address, account.address, "grün"
    message.set_content("水\n")
    with smtplib.SMTP(HOST, site.port("submission"), timeout=30) as client:
        client.starttls(context=site.authority.client_context)
        client.login(account.address, account.password)
        assert client.send_message(message) == {}
    account.arrived()


def test_smtplib_sends_mail_with_international_addresses(site: Site, account: Account) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "grün@example.com", account.address, "水"
    message.set_content("Hello\n")
    with smtplib.SMTP(HOST, site.port("smtp"), timeout=30) as client:
        client.send_message(message)
    (arrived,) = account.arrived()
    assert "Return-Path: <grün@example.com>\n".encode() in arrived
    assert b"with UTF8SMTP id" in arrived


def test_smtplib_is_told_which_recipients_were_refused(site: Site, account: Account) -> None:
    with smtplib.SMTP(HOST, site.port("smtp"), timeout=30) as client:
        refused = client.sendmail("a@example.com", [account.address, "nobody@example.org"], letter("x"))
    assert {name: reply[0] for name, reply in refused.items()} == {"nobody@example.org": 550}


def test_smtplib_is_told_of_a_wrong_password(site: Site, account: Account) -> None:
    with smtplib.SMTP_SSL(HOST, site.port("submissions"), context=site.authority.client_context) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            client.login(account.address, "wrong")
        assert client.login(account.address, account.password)[0] == 235


@pytest.mark.parametrize("starttls", [False, True])
def test_imaplib_logs_in_and_reads(site: Site, account: Account, starttls: bool) -> None:
    account.deliver(letter("one"))
    client = imaplib.IMAP4(HOST, site.port("imap"), timeout=30)
    if starttls:
        client.starttls(site.authority.client_context)
    client.login(account.address, account.password)
    assert client.select() == ("OK", [b"1"])
    part = client.fetch("1", "(RFC822)")[1][0]
    assert isinstance(part, tuple)
    assert part[1].endswith(letter("one"))
    assert client.logout()[0] == "BYE"


def test_imaplib_authenticates_with_plain(site: Site, account: Account) -> None:
    client = imaplib.IMAP4(HOST, site.port("imap"), timeout=30)
    secret = f"\0{account.address}\0{account.password}".encode()
    assert client.authenticate("PLAIN", lambda _: secret)[0] == "OK"
    client.logout()


def test_imaplib_is_told_of_a_wrong_password(site: Site, account: Account) -> None:
    client = imaplib.IMAP4(HOST, site.port("imap"), timeout=30)
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        client.login(account.address, "wrong")
    client.logout()


def test_imaplib_appends_copies_moves_and_deletes(site: Site, account: Account) -> None:
    client = imap_of(site, account)
    client.create("Archive")
    when = imaplib.Time2Internaldate(time.time())
    assert client.append("INBOX", r"(\Seen)", when, letter("one"))[0] == "OK"
    client.select()
    assert client.copy("1", "Archive")[0] == "OK"
    assert client.uid("MOVE", "1", "Archive")[0] == "OK"
    assert client.search(None, "ALL") == ("OK", [b""])
    assert client.select("Archive")[1] == [b"2"]
    client.store("1", "+FLAGS", r"\Deleted")
    assert client.expunge()[1] == [b"1"]
    assert client.close()[0] == "OK"
    assert client.delete("Archive")[0] == "OK"
    client.logout()


def test_imaplib_searches_and_asks_for_status(site: Site, account: Account) -> None:
    account.deliver(letter("apples", body="grün\r\n"), letter("pears", body="blue\r\n"))
    client = imap_of(site, account)
    assert b"MESSAGES 2" in client.status("INBOX", "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN)")[1][0]
    client.select()
    client.literal = "grün".encode()  # type: ignore[assignment]
    assert client.uid("SEARCH", "CHARSET", "UTF-8", "BODY")[1] == [b"1"]
    assert client.search(None, "NOT", "SUBJECT", "apples")[1] == [b"2"]
    assert client.search(None, "OR", "SUBJECT", "apples", "SUBJECT", "pears")[1] == [b"1 2"]
    client.logout()


@pytest.mark.parametrize("charset", ["iso-8859-2", "windows-1251", "koi8-r", "shift_jis", "gb2312", "euc-kr", "utf-16"])
def test_imaplib_finds_words_in_old_charsets(site: Site, account: Account, charset: str) -> None:
    word = {"iso-8859-2": "\u017elu\u0165", "gb2312": "\u4e2d\u6587", "euc-kr": "\ud55c\uad6d"}.get(
        charset, "\u0436\u0443\u043a" if charset in ("windows-1251", "koi8-r") else "\u65e5\u672c"
    )
    message = MIMEText(word, "plain", charset)
    message["Subject"] = Header(word, charset).encode()
    client = imap_of(site, account)
    client.append("INBOX", "", "", message.as_bytes())
    client.append("INBOX", "", "", letter("other"))
    client.select()
    for key in ("BODY", "SUBJECT"):
        client.literal = word.encode()  # type: ignore[assignment]
        assert client.search("UTF-8", key) == ("OK", [b"1"]), key
    client.literal = word.encode(charset)  # type: ignore[assignment]
    assert client.search(charset.upper(), "TEXT") == ("OK", [b"1"])
    client.logout()


def test_imaplib_sees_new_mail_with_noop(site: Site, account: Account) -> None:
    client = imap_of(site, account)
    assert client.select() == ("OK", [b"0"])
    account.deliver(letter("one"))
    client.noop()
    assert client.untagged_responses["EXISTS"][-1] == b"1"
    client.logout()


@pytest.mark.parametrize("way", ["clear", "stls", "wrapped"])
def test_poplib_reads_and_deletes(site: Site, account: Account, way: str) -> None:
    account.deliver(letter("one"), letter("two"))
    context = site.authority.client_context
    if way == "wrapped":
        client: poplib.POP3 = poplib.POP3_SSL(HOST, site.port("pop3s"), context=context, timeout=30)
    else:
        client = poplib.POP3(HOST, site.port("pop3"), timeout=30)
    if way == "stls":
        client.stls(context)
    client.user(account.address)
    client.pass_(account.password)
    count, size = client.stat()
    lines = client.retr(1)[1]
    assert b"\r\n".join(lines).endswith(letter("one").rstrip())
    assert count == 2
    assert int(client.list()[1][0].split()[1]) == sum(len(line) + 2 for line in lines)
    assert size == sum(int(line.split()[1]) for line in client.list()[1])
    client.dele(1)
    client.quit()
    assert [b"Subject: two" in message for message in account.messages()] == [True]


def test_poplib_resets_what_it_deleted(site: Site, account: Account) -> None:
    account.deliver(letter("one"))
    client = poplib.POP3(HOST, site.port("pop3"), timeout=30)
    client.user(account.address)
    client.pass_(account.password)
    client.dele(1)
    client.rset()
    client.quit()
    assert len(account.messages()) == 1


def test_poplib_is_told_of_a_wrong_password(site: Site, account: Account) -> None:
    client = poplib.POP3(HOST, site.port("pop3"), timeout=30)
    client.user(account.address)
    with pytest.raises(poplib.error_proto, match=r"\[AUTH\]"):
        client.pass_("wrong")
    client.quit()
