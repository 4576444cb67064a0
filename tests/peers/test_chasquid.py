"""A real chasquid takes our mail over TLS, refuses whom it does not know, and hands its own mail to us."""

from __future__ import annotations

import smtplib
from pathlib import Path

from tests.lab.certificates import Authority
from tests.lab.dns import DnsServer, mail_zone
from tests.lab.instance import Instance
from tests.lab.ports import loopback_address
from tests.peers.chasquid import Chasquid

BOB, EVE = "bob@example.org", "eve@example.net"
OURS = {"smtp_log_tls_feature_status": "yes"}
MAIL = b"From: bob@example.org\r\nSubject: x\r\n\r\n.hello\r\n"


def test_mail_goes_both_ways_and_what_is_refused_comes_back(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    dns_address, ours = loopback_address(), loopback_address()
    with (
        DnsServer(mail_zone("example.org", ours, host="mx.example.org"), address=dns_address, port=53) as dns,
        Chasquid(mailboxes=[EVE], dns=dns, authority=authority) as chasquid,
        Instance(
            users={BOB: "secret"}, address=ours, port_base=0, settings=OURS | {"dns_resolver": dns.resolver}
        ) as mail,
    ):
        dns.add(mail_zone("example.net", chasquid.address))
        with smtplib.SMTP(ours, 25, timeout=30) as client:
            client.sendmail(BOB, [EVE, "nobody@example.net"], MAIL)
        chasquid.wait_for(lambda: chasquid.mailbox(EVE))
        assert chasquid.mailbox(EVE)[0].replace(b"\r\n", b"\n").endswith(b"\n\n.hello\n")
        mail.wait_for(lambda: mail.log_matching(rf"to=<{EVE}>.*tls=may,.*status=sent"))
        mail.wait_for(lambda: any(b"nobody@example.net" in each for each in mail.mailbox(BOB)))
        with smtplib.SMTP(chasquid.address, chasquid.submission, timeout=30) as client:
            client.starttls()
            client.login(EVE, "secret")
            client.sendmail(EVE, [BOB], b"From: eve@example.net\r\nSubject: back\r\n\r\nhi\r\n")
        mail.wait_for(lambda: any(b"Subject: back" in each for each in mail.mailbox(BOB)))
