"""A whole suite: mail that comes in over LMTP and SMTP is read over IMAP and POP3, whatever store an account has."""

from __future__ import annotations

import imaplib
import poplib
import smtplib

from tests.lab.instance import Instance

USERS = {f"{name}@{name}.test": "secret" for name in ("maildir", "mbox", "sqlite", "elsewhere")}
LOST = "lost@lost.test"
"""An account whose location no configuration names."""


def letter(subject: str, address: str) -> str:
    return f"From: <s@example.org>\r\nTo: <{address}>\r\nSubject: {subject}\r\n\r\nbody\r\n"


def test_mail_comes_into_every_kind_of_store() -> None:
    settings = {"mail_location_domains": {"mbox.test": "mbox:%h/mbox"}}
    users = {**USERS, LOST: "secret"}
    with Instance(domains=[name.partition("@")[2] for name in users], users=users, settings=settings) as mail:
        mail.run(["pillarbox", "user", "location", "elsewhere@elsewhere.test", "maildir:%h/else/where"], check=True)
        mail.run(["pillarbox", "user", "location", "sqlite@sqlite.test", "sqlite:%h/mail.sqlite"], check=True)
        mail.run(["pillarbox", "user", "location", LOST, "pgsql:postgresql://x@127.0.0.1:1/x#%u"], check=True)
        with smtplib.LMTP(mail.address, mail.port("lmtp"), timeout=30) as client:
            for address in USERS:
                assert client.sendmail("s@example.org", [address], letter("first", address)) == {}
        with smtplib.SMTP(mail.address, mail.port("smtp"), timeout=30) as client:
            for address in USERS:
                client.sendmail("s@example.org", [address], letter("second", address))
        for address in USERS:
            mail.wait_for(lambda address=address: len(mail.log_matching(f"to=<{address}>.*status=sent")) >= 2)
            with imaplib.IMAP4(mail.address, mail.port("imap"), timeout=30) as client:
                client.login(address, "secret")
                assert client.select()[1] == [b"2"], address
                found = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT DELIVERED-TO)])")[1]
                text = b"".join(part[1] for part in found if isinstance(part, tuple))
                assert text.count(f"Delivered-To: {address}".encode()) == 2, address
                client.close()
            pop = poplib.POP3(mail.address, mail.port("pop3"), timeout=30)
            pop.user(address)
            pop.pass_("secret")
            assert pop.stat()[0] == 2
            pop.quit()
        with smtplib.LMTP(mail.address, mail.port("lmtp"), timeout=30) as client:
            client.sendmail("s@example.org", [LOST], letter("x", LOST))
        mail.wait_for(lambda: mail.log_matching(f"to=<{LOST}>.*status=deferred .*a mail_location that names"))
        client = imaplib.IMAP4(mail.address, mail.port("imap"), timeout=30)
        client.login(LOST, "secret")
        assert client.select()[1][0].startswith(b"[UNAVAILABLE]")  # type: ignore[union-attr]
        client.logout()
