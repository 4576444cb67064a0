"""What stands in front of us and speaks for its clients: a real HAProxy (PROXY protocol), a real Postfix (XFORWARD).

Needs root for Postfix, as its master does.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import smtplib
import socket
from collections.abc import Iterator

import pytest

from tests.e2e.wire import ALICE, BOB, HELLO, PASSWORD, trusting
from tests.lab.instance import Instance
from tests.lab.ports import LOOPBACK, loopback_address
from tests.peers import peer
from tests.peers.haproxy import HAProxy, Route
from tests.peers.postfix import Postfix

_TIMEOUT = 60
_number = itertools.count()

CLIENT, PROXY, FILTER = loopback_address(), loopback_address(), loopback_address()


@pytest.fixture(scope="module")
def mail() -> Iterator[Instance]:
    settings = {
        "mynetworks": CLIENT,
        "smtpd_upstream_proxy_protocol": "haproxy",
        "smtpd_upstream_proxy_hosts": PROXY,
        "smtpd_upstream_proxy_timeout": "60s",
        "smtpd_authorized_xforward_hosts": FILTER,
        "smtpd_authorized_xclient_hosts": CLIENT,
    }
    with Instance(users={ALICE: PASSWORD, BOB: PASSWORD}, settings=settings) as instance:
        yield instance


@pytest.fixture(scope="module")
def haproxy(mail: Instance) -> Iterator[HAProxy]:
    smtp, submissions = mail.port("smtp"), mail.port("submissions")
    check = "option smtpchk EHLO health.example"
    routes = {
        "v1": Route(smtp, "send-proxy"),
        "v2": Route(smtp, "send-proxy-v2 proxy-v2-options crc32c,unique-id", "unique-id-format %pid-%rt"),
        "tls": Route(submissions, "send-proxy-v2 proxy-v2-options crc32c"),
        "tls1": Route(submissions, "send-proxy"),
        "health": Route(smtp, "send-proxy-v2 check check-send-proxy inter 1s", check),
        "none": Route(smtp, ""),
    }
    with HAProxy(routes, address=PROXY) as running:
        yield running


def marked() -> tuple[bytes, bytes]:
    word = b"front-%d" % next(_number)
    return word, HELLO.replace(b"hello", word)


def arrived(mail: Instance, word: bytes) -> bytes:
    mail.wait_for(lambda: [each for each in mail.mailbox(BOB) if word in each])
    (message,) = [each for each in mail.mailbox(BOB) if word in each]
    return message


@pytest.mark.parametrize("route", ["v1", "v2"])
def test_the_client_behind_haproxy_is_seen(mail: Instance, haproxy: HAProxy, route: str) -> None:
    word, content = marked()
    with smtplib.SMTP(
        haproxy.address, haproxy.ports[route], "client.example", _TIMEOUT, source_address=(CLIENT, 0)
    ) as client:
        client.sendmail("carol@example.com", [BOB], content)
    message = arrived(mail, word)
    assert re.search(
        rb"^Received: from client\.example \(\S+ \[" + re.escape(CLIENT.encode()) + rb"\]\)", message, re.M
    )
    assert any(re.search(rf"client=\S+\[{re.escape(CLIENT)}\]", line) for line in mail.log_lines())


def test_its_rights_are_those_of_its_address(haproxy: HAProxy) -> None:
    for source, may in ((CLIENT, 250), (loopback_address(), 554)):
        with smtplib.SMTP(
            haproxy.address, haproxy.ports["v2"], "client.example", _TIMEOUT, source_address=(source, 0)
        ) as client:
            client.ehlo()
            client.mail("carol@example.com")
            assert client.rcpt("someone@elsewhere.example")[0] == may
            assert client.has_extn("xclient") == (source == CLIENT)


@pytest.mark.parametrize("route", ["tls", "tls1"])
def test_implicit_tls_comes_behind_the_header(mail: Instance, haproxy: HAProxy, route: str) -> None:
    word, content = marked()
    with smtplib.SMTP_SSL(
        haproxy.address,
        haproxy.ports[route],
        "client.example",
        timeout=_TIMEOUT,
        source_address=(CLIENT, 0),
        context=trusting(mail),
    ) as client:
        client.login(ALICE, PASSWORD)
        client.sendmail(ALICE, [BOB], content)
    assert b"[" + CLIENT.encode() + b"]" in arrived(mail, word)


def test_health_checks_speak_for_haproxy_itself(mail: Instance, haproxy: HAProxy) -> None:
    haproxy.wait_for_health("health")
    mail.wait_for(lambda: any(f"[{PROXY}] ehlo=1" in line for line in mail.log_lines()))


def test_a_proxy_that_forgets_the_header_is_cut_off(mail: Instance, haproxy: HAProxy) -> None:
    with socket.create_connection((haproxy.address, haproxy.ports["none"]), _TIMEOUT) as client:
        client.sendall(b"EHLO client.example\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1000) == b""
    mail.wait_for(lambda: any("haproxy read from" in line for line in mail.log_lines()))


def test_who_comes_directly_needs_no_header(mail: Instance) -> None:
    with smtplib.SMTP(LOOPBACK, mail.port("smtp"), timeout=_TIMEOUT) as client:
        assert client.ehlo()[0] == 250


def test_swaks_speaks_for_another_by_xclient(mail: Instance) -> None:
    word, content = marked()
    client = ("--xclient-addr", "192.0.2.77", "--xclient-name", "first.example", "--xclient-helo", "first.helo")
    swaks(mail, CLIENT, *client, "--data", content.decode(), "--to", BOB)
    assert b"(first.example [192.0.2.77])" in arrived(mail, word)
    assert any(f"XCLIENT from unknown[{CLIENT}]: client=first.example[192.0.2.77]" in line for line in mail.log_lines())


@pytest.mark.parametrize("version", ["1", "2"])
def test_swaks_speaks_for_another_by_the_proxy_protocol(mail: Instance, version: str) -> None:
    word, content = marked()
    header = ("--proxy-version", version, "--proxy-family", "TCP4" if version == "1" else "AF_INET")
    ends = ("--proxy-source", "192.0.2.78", "--proxy-source-port", "4711", "--proxy-dest", "192.0.2.1")
    more = ("--proxy-dest-port", "25", "--proxy-protocol", "STREAM", "--proxy-command", "PROXY")
    swaks(mail, PROXY, *header, *ends, *more, "--data", content.decode(), "--to", BOB)
    assert b"(unknown [192.0.2.78])" in arrived(mail, word)


def swaks(mail: Instance, source: str, *options: str) -> None:
    server = ("--server", LOOPBACK, "--port", str(mail.port("smtp")), "--local-interface", source)
    peer("swaks").run(["swaks", *server, "--helo", "swaks.example", "--from", "a@b.example", *options], check=True)


def test_postfix_says_by_xforward_where_a_message_came_from(mail: Instance) -> None:
    word, content = marked()
    source = loopback_address()
    parameters = {
        "relayhost": f"[{LOOPBACK}]:{mail.port('smtp')}",
        "smtp_send_xforward_command": "yes",
        "disable_dns_lookups": "yes",
    }
    with Postfix(hostname="filter.example", address=FILTER, parameters=parameters) as postfix:
        with smtplib.SMTP(
            postfix.address, postfix.port, "first.example", _TIMEOUT, source_address=(source, 0)
        ) as client:
            client.sendmail("carol@example.com", [BOB], content)
        message = arrived(mail, word)
        (queue_id,) = {
            found[1] for line in postfix.log_lines() if (found := re.search(r": (\w+): client=\S+\[", line)) is not None
        }
    assert b"[" + FILTER.encode() + b"]" in message
    expected = rf"client=\S+\[{re.escape(FILTER)}\], orig_queue_id={queue_id}, orig_client=\S+\[{re.escape(source)}\]"
    assert any(re.search(expected, line) for line in mail.log_lines())
