"""The crowd takes mail under thousands of addresses, counts right, and behaves by rules; the network does as told."""

from __future__ import annotations

import hashlib
import smtplib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.lab.crowd import Crowd, Rule
from tests.lab.namespace import Namespace

MAIL = b"Subject: x\r\n\r\n.dot\r\nend\r\n"
DIGEST = hashlib.sha256(b".dot\r\nend\r\n").hexdigest()


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    with Crowd(recipients=True, digests=True) as running:
        yield running


def client(crowd: Crowd, address: str = "127.0.0.1") -> smtplib.SMTP:
    return smtplib.SMTP(address, crowd.port, local_hostname="client.test", timeout=10)


def settled(crowd: Crowd) -> None:
    while crowd.counts().open:
        time.sleep(0.01)


def test_messages_recipients_addresses_and_digests_are_counted(crowd: Crowd) -> None:
    with client(crowd, "127.0.0.2") as smtp:
        smtp.sendmail("a@x.org", ["b@y.org", "c@y.org"], MAIL)
        smtp.sendmail("a@x.org", ["b@y.org"], MAIL)
    counts = crowd.counts()
    assert (counts.connections, counts.messages, counts.recipients, counts.octets) == (1, 2, 3, 2 * len(MAIL) + 2)
    assert crowd.by_address() == {"127.0.0.2": 2}
    assert crowd.by_recipient() == {"b@y.org": (2, 0), "c@y.org": (1, 0)}
    assert crowd.digests() == {DIGEST: 2}


def test_it_can_begin_to_count_anew(crowd: Crowd) -> None:
    with client(crowd) as smtp:
        smtp.sendmail("a@x.org", ["b@y.org"], MAIL)
        crowd.forget()
        assert (crowd.counts().messages, crowd.by_recipient()) == (0, {})


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_a_pipelined_session_is_understood_however_it_is_cut(crowd: Crowd, step: int) -> None:
    said = (
        b"EHLO x\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<b@y.org>\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\nend\r\n.\r\n"
        b"MAIL FROM:<a@x.org>\r\nRCPT TO:<b@y.org>\r\nBDAT 14\r\nSubject: x\r\n\r\nBDAT 11 LAST\r\n.dot\r\nend\r\n"
        b"QUIT\r\n"
    )
    with socket.create_connection(("127.0.0.1", crowd.port), timeout=10) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(0, len(said), step):
            peer.sendall(said[place : place + step])
        heard = peer.makefile("rb").read().decode().splitlines()
    codes = [int(line[:3]) for line in heard if line[3] == " "]
    assert codes == [220, 250, 250, 250, 354, 250, 250, 250, 250, 250, 221]
    assert crowd.digests() == {DIGEST: 2}
    assert crowd.counts().messages == 2


def test_an_empty_message_ends_at_its_first_line(crowd: Crowd) -> None:
    with socket.create_connection(("127.0.0.1", crowd.port), timeout=10) as peer:
        peer.sendall(b"EHLO x\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<b@y.org>\r\nDATA\r\n.\r\nQUIT\r\n")
        peer.makefile("rb").read()
    assert (crowd.counts().messages, crowd.counts().octets) == (1, 0)


def test_hosts_behave_by_the_rule_of_their_network(crowd: Crowd) -> None:
    crowd.behave(
        {
            "127.1.0.0/16": Rule(rcpt="450 4.2.1 later"),
            "127.2.0.0/16": Rule(greeting="421 4.3.2 busy"),
            "127.3.0.0/16": Rule(delay=0.1),
        }
    )
    with client(crowd, "127.1.0.1") as smtp, pytest.raises(smtplib.SMTPRecipientsRefused, match="later"):
        smtp.sendmail("a@x.org", ["b@y.org"], MAIL)
    with pytest.raises(smtplib.SMTPConnectError, match="busy"):
        client(crowd, "127.2.0.1")
    begun = time.monotonic()
    with client(crowd, "127.3.0.1") as smtp:
        smtp.sendmail("a@x.org", ["b@y.org"], MAIL)
    assert time.monotonic() - begun >= 0.6  # greeting, EHLO, MAIL, RCPT, DATA, content
    assert crowd.by_address() == {"127.3.0.1": 1}


def test_who_was_refused_cannot_bring_an_empty_message(crowd: Crowd) -> None:
    crowd.behave({"127.0.0.0/8": Rule(mail="451 4.3.0 not now")})
    with socket.create_connection(("127.0.0.1", crowd.port), timeout=10) as peer:
        peer.sendall(b"EHLO x\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<b@y.org>\r\nDATA\r\n.\r\nQUIT\r\n")
        peer.makefile("rb").read()
    assert (crowd.counts().messages, crowd.by_recipient()) == (0, {})


def test_each_copy_is_noted_with_its_moments() -> None:
    with Crowd(takings=True) as crowd:
        crowd.behave({"127.2.0.0/16": Rule(delay=0.1)})
        begun = time.monotonic()
        for address in ("127.1.0.1", "127.2.0.1"):
            with client(crowd, address) as smtp:
                smtp.sendmail("a@x.org", ["b@y.org", "c@y.org"], MAIL)
                ports = smtp.sock.getsockname()[1]
        takings = crowd.takings()
        assert [(each.recipient, each.server) for each in takings] == [
            (recipient, server) for server in ("127.1.0.1", "127.2.0.1") for recipient in ("b@y.org", "c@y.org")
        ]
        assert takings[-1].port == ports
        for each in takings:
            assert each.size == len(MAIL) + 1  # a dot was doubled
            assert begun < each.begun <= each.first <= each.taken <= each.replied <= time.monotonic()
            assert (each.replied - each.taken >= 0.1) == (each.server == "127.2.0.1")


def test_flaky_hosts_take_messages_whose_reply_is_lost(crowd: Crowd) -> None:
    crowd.behave({"127.0.0.0/8": Rule(flaky=0.2)})
    answered = 0
    for _ in range(200):
        try:
            client(crowd).sendmail("a@x.org", ["b@y.org"], MAIL)
            answered += 1
        except (smtplib.SMTPServerDisconnected, ConnectionError):
            pass
    settled(crowd)
    counts = crowd.counts()
    assert 0 < counts.lost_replies < 200 - answered
    assert counts.messages == answered
    assert crowd.by_recipient() == {"b@y.org": (answered, counts.lost_replies)}


def test_a_stopped_crowd_refuses_connections() -> None:
    crowd = Crowd()
    crowd.start()
    crowd.stop()
    with pytest.raises(ConnectionRefusedError):
        client(crowd)


def reach(address: str, timeout: float = 1) -> None:
    socket.create_connection((address, 25), timeout=timeout).close()


def test_every_address_of_a_namespace_is_a_host() -> None:
    with Namespace(), Crowd(port=25) as crowd:
        for address in ("10.0.0.1", "10.255.7.3", "127.0.0.1"):
            with client(crowd, address) as smtp:
                smtp.sendmail("a@x.org", ["b@y.org"], MAIL)
        assert crowd.by_address() == {"10.0.0.1": 1, "10.255.7.3": 1, "127.0.0.1": 1}


def test_networks_refuse_swallow_and_heal() -> None:
    with Namespace() as net, Crowd(port=25):
        net.refuse("10.3.0.0/16")
        net.swallow("10.4.0.0/16", "10.5.1.1")
        with pytest.raises(ConnectionRefusedError):
            reach("10.3.1.1")
        for address in ("10.4.1.1", "10.5.1.1"):
            with pytest.raises(TimeoutError):
                reach(address, 0.2)
        reach("10.5.1.2")
        net.heal("10.3.0.0/16", "10.5.1.1")
        reach("10.3.1.1")
        reach("10.5.1.1")
        with pytest.raises(TimeoutError):
            reach("10.4.1.1", 0.2)
        net.heal()
        reach("10.4.1.1")


def test_packets_can_be_lost() -> None:
    with Namespace() as net, Crowd(port=25):
        net.lose("10.6.0.0/16", 1)
        with pytest.raises(TimeoutError):
            reach("10.6.1.1", 0.2)
        net.lose("10.6.0.0/16", 0)
        reach("10.6.1.1")


def test_the_namespace_is_left_and_other_threads_never_were_in_it() -> None:
    with Crowd() as crowd:
        found: list[str] = []

        def look(into: Namespace | None) -> None:
            try:
                if into is None:
                    client(crowd).quit()
                else:
                    with into.entered():
                        client(crowd).quit()
                found.append("reached")
            except ConnectionRefusedError:
                found.append("refused")

        with Namespace() as net:
            with pytest.raises(ConnectionRefusedError):
                client(crowd)
            waiting = threading.Thread(target=look, args=(None,))
            with_net = threading.Thread(target=look, args=(net,))
            for each in (waiting, with_net):
                each.start()
                each.join()
        assert found == ["refused", "refused"], "threads started inside are inside"
        client(crowd).quit()
