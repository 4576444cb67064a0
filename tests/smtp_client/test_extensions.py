"""What goes over the wire for each kind of message to each kind of server, and what becomes of it where none goes."""

from __future__ import annotations

import email
import re
import time
from pathlib import Path
from typing import ClassVar

import pytest

from pillarbox.lib.delivery import DeliveryRecipient
from tests.dns.name_server import name_server
from tests.smtp_client.conftest import ClientUnderTest, MakeContext
from tests.smtp_client.fake_server import DROP, FakeServer, fake_server

HOST = "127.0.0.1[127.0.0.1]"
HEAD = b"Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: %s\n\n"
ASCII = HEAD % b"7bit" + b"hello\n"
EIGHT = HEAD % b"8bit" + "grün\n".encode()
BINARY = HEAD.replace(b"text/plain", b"image/png") % b"binary" + b"\0\xff\r\n.\r\nabc"
UTF8 = "Subject: Grüße\n\nx\n".encode()
SIGNED = (
    b"MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=b\n\n--b\n"
    b"Content-Transfer-Encoding: 8bit\n\n\xc3\xa9\n--b\n\nsig\n--b--\n"
)


def offering(*keywords: str) -> str:
    lines = ["mx.test", "PIPELINING", *keywords]
    return "\n".join([f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"])


def mail_parameters(server: FakeServer) -> str:
    (mail,) = [command for command in server.commands if command.startswith("MAIL ")]
    return re.sub(r" ?SIZE=\d+", "", mail.partition("> ")[2])


AS_IS, QUOTED, BASE64, OCTETS = "as it is", "quoted-printable", "base64", "octets"
PEERS = {
    "old": (),
    "8bit": ("8BITMIME",),
    "utf8": ("8BITMIME", "SMTPUTF8"),
    "chunking": ("8BITMIME", "CHUNKING"),
    "binary": ("8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME"),
}
# (message, peer) -> (parameters of MAIL, how the content goes), or the code and text with which it comes back
MATRIX: dict[tuple[str, str], tuple[str, str]] = {
    ("7bit", "old"): ("", AS_IS),
    ("7bit", "8bit"): ("", AS_IS),
    ("7bit", "utf8"): ("", AS_IS),
    ("7bit", "chunking"): ("", AS_IS),
    ("7bit", "binary"): ("", AS_IS),
    ("undeclared", "old"): ("", QUOTED),
    ("undeclared", "8bit"): ("BODY=8BITMIME", AS_IS),
    ("undeclared", "utf8"): ("BODY=8BITMIME", AS_IS),
    ("undeclared", "chunking"): ("BODY=8BITMIME", AS_IS),
    ("undeclared", "binary"): ("BODY=8BITMIME", AS_IS),
    ("undeclared ascii", "old"): ("", AS_IS),
    ("undeclared ascii", "8bit"): ("", AS_IS),
    ("mislabelled", "old"): ("", AS_IS),
    ("mislabelled", "8bit"): ("", AS_IS),
    ("8bit", "old"): ("", QUOTED),
    ("8bit", "8bit"): ("BODY=8BITMIME", AS_IS),
    ("8bit", "utf8"): ("BODY=8BITMIME", AS_IS),
    ("8bit", "chunking"): ("BODY=8BITMIME", AS_IS),
    ("8bit", "binary"): ("BODY=8BITMIME", AS_IS),
    ("binary", "old"): ("", BASE64),
    ("binary", "8bit"): ("BODY=8BITMIME", BASE64),
    ("binary", "utf8"): ("BODY=8BITMIME", BASE64),
    ("binary", "chunking"): ("BODY=8BITMIME", BASE64),
    ("binary", "binary"): ("BODY=BINARYMIME", OCTETS),
    ("utf8", "old"): ("5.6.7", f"SMTPUTF8 is required, but was not offered by host {HOST}"),
    ("utf8", "8bit"): ("5.6.7", f"SMTPUTF8 is required, but was not offered by host {HOST}"),
    ("utf8", "utf8"): ("BODY=8BITMIME SMTPUTF8", AS_IS),
    ("utf8", "chunking"): ("5.6.7", f"SMTPUTF8 is required, but was not offered by host {HOST}"),
    ("utf8", "binary"): ("BODY=8BITMIME SMTPUTF8", AS_IS),
    ("utf8 flag", "old"): ("", AS_IS),
    ("utf8 flag", "8bit"): ("", AS_IS),
    ("utf8 flag", "utf8"): ("SMTPUTF8", AS_IS),
    ("signed", "old"): (
        "5.6.3",
        f"Conversion required but not supported for host {HOST}: a signed part would have to be changed",
    ),
    ("signed", "8bit"): ("BODY=8BITMIME", AS_IS),
}
MESSAGES: dict[str, tuple[bytes, str, bool]] = {
    "7bit": (ASCII, "7bit", False),
    "undeclared": (EIGHT, "", False),
    "undeclared ascii": (ASCII, "", False),
    "mislabelled": (EIGHT, "7bit", False),
    "8bit": (EIGHT, "8bitmime", False),
    "binary": (BINARY, "binarymime", False),
    "utf8": (UTF8, "8bitmime", True),
    "utf8 flag": (ASCII, "7bit", True),
    "signed": (SIGNED, "8bitmime", False),
}


@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
@pytest.mark.parametrize(("kind", "peer"), list(MATRIX), ids=[f"{kind}-{peer}" for kind, peer in MATRIX])
def test_each_message_to_each_server(client: ClientUnderTest, kind: str, peer: str, lmtp: bool) -> None:
    content, body, smtputf8 = MESSAGES[kind]
    parameters, form = MATRIX[kind, peer]
    if lmtp:
        client.service = "lmtp"
    with fake_server({"EHLO": offering(*PEERS[peer]), "LHLO": offering(*PEERS[peer])}, lmtp=lmtp) as server:
        outcome = client.deliver_one(server.nexthop, content=content, body=body, smtputf8=smtputf8)
        if parameters.startswith("5."):
            assert (outcome.one.status, outcome.one.dsn, outcome.one.text) == ("bounced", parameters, form)
            assert not any(command.startswith("MAIL") for command in server.commands)
            return
        assert outcome.one.status == "sent"
        assert mail_parameters(server) == parameters
        (message,) = server.messages
        head, _, rest = content.partition(b"\n\n")
        if form == OCTETS:
            assert message == head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + rest
            assert f"BDAT {len(message)} LAST" in server.commands
            return
        assert "DATA" in server.commands
        if form == AS_IS:
            assert message == content.replace(b"\n", b"\r\n")
            return
        assert message.isascii()
        parsed = email.message_from_bytes(message)
        assert parsed["Content-Transfer-Encoding"] == form
        payload = parsed.get_payload(decode=True)
        assert isinstance(payload, bytes)
        assert payload == (rest if form == BASE64 else rest.replace(b"\n", b"\r\n"))


class TestConversion:
    def test_can_be_switched_off(self, client: ClientUnderTest) -> None:
        client.parameters["disable_mime_output_conversion"] = "yes"
        with fake_server({"EHLO": offering()}) as server:
            assert client.deliver_one(server.nexthop, content=EIGHT, body="8bitmime").one.status == "sent"
            assert server.messages == [EIGHT.replace(b"\n", b"\r\n")]
            outcome = client.deliver_one(server.nexthop, content=BINARY, body="binarymime")
            assert (outcome.one.status, outcome.one.dsn) == ("bounced", "5.6.3")

    def test_a_large_message_is_converted_in_a_stream(self, client: ClientUnderTest) -> None:
        content = EIGHT + ("ä" * 300 + "\n").encode() * 8000
        with fake_server({"EHLO": offering()}) as server:
            assert client.deliver_one(server.nexthop, content=content, body="8bitmime").one.status == "sent"
            (message,) = server.messages
            payload = email.message_from_bytes(message).get_payload(decode=True)
            assert payload == content.partition(b"\n\n")[2].replace(b"\n", b"\r\n")
            assert max(map(len, message.split(b"\r\n"))) <= 76

    def test_a_message_that_grows_too_large_comes_back(self, client: ClientUnderTest) -> None:
        content = EIGHT + "ä\n".encode() * 1000
        with fake_server({"EHLO": offering(f"SIZE {len(content) + 1000}")}) as server:
            outcome = client.deliver_one(server.nexthop, content=content, body="8bitmime")
            assert (outcome.one.status, outcome.one.dsn) == ("bounced", "5.3.4")
            assert not any(command.startswith("MAIL") for command in server.commands)

    def test_a_large_binary_message_is_one_chunk(self, client: ClientUnderTest) -> None:
        content = BINARY + bytes(range(256)) * 4000
        with fake_server({"EHLO": offering(*PEERS["binary"])}) as server:
            assert client.deliver_one(server.nexthop, content=content, body="binarymime").one.status == "sent"
            assert server.messages[0].endswith(content.partition(b"\n\n")[2])

    def test_a_part_with_a_header_in_utf_8_needs_smtputf8(self, client: ClientUnderTest) -> None:
        part = "Subject: x\nContent-Type: message/rfc822\n\nSubject: ä\n\nx\n".encode()
        with fake_server({"EHLO": offering("8BITMIME")}) as server:
            outcome = client.deliver_one(server.nexthop, content=part, smtputf8=True)
            assert outcome.one.dsn == "5.6.7"

    def test_a_truncated_queue_file_is_not_sent_in_part(self, client: ClientUnderTest) -> None:
        with fake_server({"EHLO": offering()}) as server:
            outcome = client.deliver_one(server.nexthop, content=EIGHT, body="8bitmime", size=10_000)
            assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.3.0")
            assert not server.messages

    @pytest.mark.parametrize("verdict", ["554 5.6.0 no", "452 4.3.1 full", DROP])
    def test_a_refused_chunk_leaves_a_clean_session(self, client: ClientUnderTest, verdict: str) -> None:
        script = {
            "EHLO": offering(*PEERS["binary"]),
            "content": lambda number, argument: verdict if number == 1 else "250 2.0.0 ok",
        }
        with fake_server(script) as server:
            first = client.request(server.nexthop, content=BINARY, body="binarymime")
            second = client.request(server.nexthop, content=BINARY, body="binarymime")
            outcomes = client.deliver(first, second)
            assert outcomes[0].one.status == ("bounced" if verdict[0] == "5" else "deferred")
            assert outcomes[1].one.status == ("deferred" if verdict == DROP else "sent")

    @pytest.mark.parametrize(("peer", "body"), [("binary", "binarymime"), ("binary", "8bitmime")])
    def test_a_server_that_takes_its_leave_after_the_last_recipient_gets_nothing(
        self, client: ClientUnderTest, peer: str, body: str
    ) -> None:
        script = {
            "EHLO": offering(*PEERS[peer], "PIPELINING"),
            "RCPT": lambda number, argument: "421 4.3.2 later\n354 go on" if number == 2 else "250 ok",
        }
        with fake_server(script) as server:
            outcome = client.deliver_one(server.nexthop, ["a@b.test", "b@b.test"], content=BINARY, body=body)
            assert {result.status for result in outcome.results.values()} == {"deferred"}
            assert outcome["b@b.test"].dsn == "4.3.2"
            assert not any(server.messages)

    def test_without_a_recipient_no_chunk_is_sent(self, client: ClientUnderTest) -> None:
        script = {
            "EHLO": offering(*PEERS["binary"]),
            "RCPT": lambda number, argument: "550 5.1.1 no" if number < 3 else "250 ok",
        }
        with fake_server(script) as server:
            outcomes = client.deliver(
                client.request(server.nexthop, ["a@b.test", "b@b.test"], content=BINARY, body="binarymime"),
                client.request(server.nexthop, ["c@b.test"], content=BINARY, body="binarymime"),
            )
            assert {result.dsn for result in outcomes[0].results.values()} == {"5.1.1"}
            assert outcomes[1].one.status == "sent"
            verbs = [command.split(" ")[0] for command in server.commands]
            assert verbs == ["EHLO", "MAIL", "RCPT", "RCPT", "RSET", "MAIL", "RCPT", "BDAT", "QUIT"]


class TestLimits:
    """RFC 9422."""

    def batches(self, server: FakeServer) -> list[list[list[str]]]:
        """Sessions, their messages, their recipients."""
        sessions: list[list[list[str]]] = []
        for heard in server.heard:
            messages: list[list[str]] = []
            for command in heard.commands:
                if command.startswith("MAIL"):
                    messages.append([])
                elif command.startswith("RCPT"):
                    messages[-1].append(command.split("<")[1].split(">")[0])
            sessions.append(messages)
        return [session for session in sessions if session]

    def test_recipients_are_cut(self, client: ClientUnderTest) -> None:
        with fake_server({"EHLO": offering("LIMITS RCPTMAX=2")}) as server:
            outcome = client.deliver_one(server.nexthop, [f"{n}@b.test" for n in range(5)])
            assert {result.status for result in outcome.results.values()} == {"sent"}
            assert self.batches(server) == [[["0@b.test", "1@b.test"], ["2@b.test", "3@b.test"], ["4@b.test"]]]
            assert len(server.messages) == 3

    def test_a_session_ends_after_so_many_messages(self, client: ClientUnderTest) -> None:
        with fake_server({"EHLO": offering("LIMITS MAILMAX=2 RCPTMAX=1")}) as server:
            outcome = client.deliver_one(server.nexthop, ["a@b.test", "b@b.test", "c@b.test"])
            assert {result.status for result in outcome.results.values()} == {"sent"}
            assert self.batches(server) == [[["a@b.test"], ["b@b.test"]], [["c@b.test"]]]

    def test_no_connection_is_kept_beyond_its_messages(self, client: ClientUnderTest) -> None:
        with fake_server({"EHLO": offering("LIMITS MAILMAX=1")}) as server:
            outcomes = client.deliver(*(client.request(server.nexthop) for _ in range(3)))
            assert [outcome.one.status for outcome in outcomes] == ["sent"] * 3
            assert len(server.heard) == 3

    def test_domains_are_counted_over_the_session(self, client: ClientUnderTest) -> None:
        with fake_server({"EHLO": offering("LIMITS RCPTDOMAINMAX=1")}) as server:
            outcome = client.deliver_one(server.nexthop, ["a@b.test", "a@c.test", "b@B.test"])
            assert {result.status for result in outcome.results.values()} == {"sent"}
            assert self.batches(server) == [[["a@b.test", "b@B.test"]], [["a@c.test"]]]
            server.heard.clear()
            outcomes = client.deliver(
                client.request(server.nexthop, ["a@b.test"]),
                client.request(server.nexthop, ["a@c.test"]),
                client.request(server.nexthop, ["b@c.test"]),
            )
            assert [outcome.one.status for outcome in outcomes] == ["sent"] * 3
            assert self.batches(server) == [[["a@b.test"]], [["a@c.test"], ["b@c.test"]]]

    def test_what_is_no_limit_limits_nothing(self, client: ClientUnderTest) -> None:
        with fake_server({"EHLO": offering("LIMITS RCPTMAX=0 MAILMAX=x NEW=3 RCPTMAX")}) as server:
            client.deliver_one(server.nexthop, ["a@b.test", "b@b.test"])
            assert self.batches(server) == [[["a@b.test", "b@b.test"]]]

    def test_verdicts_of_the_parts_are_kept_apart(self, client: ClientUnderTest) -> None:
        script = {
            "EHLO": offering("LIMITS RCPTMAX=1 MAILMAX=1"),
            "RCPT": lambda number, argument: "550 5.1.1 no" if "b@" in argument else "250 ok",
        }
        with fake_server(script) as server:
            outcome = client.deliver_one(server.nexthop, ["a@b.test", "b@b.test", "c@b.test"])
            assert [outcome[one].status for one in ("a@b.test", "b@b.test", "c@b.test")] == ["sent", "bounced", "sent"]

    def test_a_server_that_goes_away_between_the_parts_defers_the_rest(self, client: ClientUnderTest) -> None:
        def greeting(number: int, argument: str) -> str:
            return "220 hi" if not server.messages else "421 4.3.2 closing"

        with fake_server({"EHLO": offering("LIMITS RCPTMAX=1 MAILMAX=1")}) as server:
            server.script["greeting"] = greeting
            outcome = client.deliver_one(server.nexthop, ["a@b.test", "b@b.test", "c@b.test"])
            assert outcome["a@b.test"].status == "sent"
            assert outcome["b@b.test"].status == outcome["c@b.test"].status == "deferred"


class TestForwardedOrigin:
    """XFORWARD, as Postfix's filters understand it."""

    ATTRIBUTES: ClassVar = {
        "client_name": "client.example",
        "client_address": "2001:db8::1",
        "client_port": "4711",
        "client_helo": "he lo+",
        "protocol": "ESMTP",
    }

    def test_is_told_before_each_message(self, client: ClientUnderTest) -> None:
        client.parameters["smtp_send_xforward_command"] = "yes"
        with fake_server({"EHLO": offering("XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE")}) as server:
            client.deliver(*(client.request(server.nexthop, attributes=self.ATTRIBUTES) for _ in range(2)))
            expected = [
                "XFORWARD NAME=client.example ADDR=IPV6:2001:db8::1 PORT=4711",
                "XFORWARD PROTO=ESMTP HELO=he+20lo+2B IDENT=4jXFYl6dnjzKD6m SOURCE=REMOTE",
            ]
            assert server.commands[1:3] == server.commands[6:8] == expected
            assert server.commands[3].startswith("MAIL")
            assert len(server.messages) == 2

    def test_what_is_not_known_or_not_taken_is_not_invented(self, client: ClientUnderTest) -> None:
        client.parameters["smtp_send_xforward_command"] = "yes"
        with fake_server({"EHLO": offering("XFORWARD NAME SOURCE")}) as server:
            client.deliver_one(server.nexthop)
            assert server.commands[1:3] == ["XFORWARD NAME=[UNAVAILABLE]", "XFORWARD SOURCE=LOCAL"]
            client.deliver_one(server.nexthop, attributes={"client_name": "unknown", "client_address": "192.0.2.1"})
            assert server.heard[1].commands[1:3] == ["XFORWARD NAME=[UNAVAILABLE]", "XFORWARD SOURCE=REMOTE"]

    @pytest.mark.parametrize(("offer", "wanted"), [("XFORWARD NAME", "no"), ("DSN", "yes")])
    def test_needs_the_wish_and_the_offer(self, client: ClientUnderTest, offer: str, wanted: str) -> None:
        client.parameters["smtp_send_xforward_command"] = wanted
        with fake_server({"EHLO": offering(offer)}) as server:
            client.deliver_one(server.nexthop, attributes=self.ATTRIBUTES)
            assert not any(command.startswith("XFORWARD") for command in server.commands)

    @pytest.mark.parametrize("pipelining", ["", "pipelining"])
    def test_a_refusal_stops_nothing(self, client: ClientUnderTest, pipelining: str) -> None:
        client.parameters |= {"smtp_send_xforward_command": "yes", "smtp_discard_ehlo_keywords": pipelining}
        with fake_server({"EHLO": offering("XFORWARD NAME SOURCE"), "XFORWARD": "550 5.7.0 not you"}) as server:
            outcome = client.deliver_one(server.nexthop)
            assert outcome.one.status == "sent"
            assert any("said: 550 5.7.0 not you (in reply to XFORWARD command)" in line for line in outcome.log)
            assert len(server.messages) == 1


class TestDeadline:
    """DELIVERBY, RFC 2852."""

    @pytest.mark.parametrize(("mode", "left"), [("R", 100), ("N", 100), ("NT", -50), ("RT", 60)])
    def test_the_time_that_is_left_is_passed_on(self, client: ClientUnderTest, mode: str, left: int) -> None:
        with fake_server({"EHLO": offering("DELIVERBY 10")}) as server:
            outcome = client.deliver_one(server.nexthop, deliver_by=f"{int(time.time()) + left};{mode}")
            assert outcome.one.status == "sent"
            match = re.fullmatch(r"BY=(-?\d+);([RNT]+)", mail_parameters(server))
            assert match is not None
            assert (match[2], left - 30 < int(match[1]) <= left) == (mode, True)

    def test_a_message_to_be_returned_goes_to_nobody_who_would_not(self, client: ClientUnderTest) -> None:
        with fake_server({"EHLO": offering("8BITMIME")}) as server:
            outcome = client.deliver_one(server.nexthop, deliver_by=f"{int(time.time()) + 99};R")
            assert (outcome.one.status, outcome.one.dsn) == ("bounced", "5.4.7")
            assert outcome.one.text == f"host {HOST} does not support Deliver By"
            assert not server.messages

    def test_a_server_that_needs_longer_is_not_asked(self, client: ClientUnderTest) -> None:
        with fake_server({"EHLO": offering("DELIVERBY 1000")}) as server:
            outcome = client.deliver_one(server.nexthop, deliver_by=f"{int(time.time()) + 99};R")
            assert (outcome.one.status, outcome.one.dsn) == ("bounced", "5.4.7")
            assert client.deliver_one(server.nexthop, deliver_by=f"{int(time.time()) + 99};N").one.status == "sent"

    def test_after_the_time_it_goes_back(self, client: ClientUnderTest) -> None:
        with fake_server({"EHLO": offering("DELIVERBY")}) as server:
            outcome = client.deliver_one(server.nexthop, deliver_by=f"{int(time.time()) - 1};R")
            assert (outcome.one.dsn, outcome.one.text) == ("5.4.7", "delivery time expired")

    def test_delivery_by_lmtp_needs_no_offer(self, client: ClientUnderTest) -> None:
        client.service = "lmtp"
        with fake_server(lmtp=True) as server:
            assert client.deliver_one(server.nexthop, deliver_by=f"{int(time.time()) + 99};R").one.status == "sent"


class TestWhoReports:
    @pytest.mark.parametrize(
        ("offer", "by", "lmtp", "final", "handed"),
        [
            ("DSN", "", False, "no", "entrusted"),
            ("8BITMIME", "", False, "no", "relayed"),
            ("DSN", "", True, "no", "entrusted"),
            ("8BITMIME", "", True, "no", "relayed"),
            ("8BITMIME", "", True, "yes", ""),
            ("DSN", "N", False, "no", "traced"),
            ("DELIVERBY", "N", False, "no", "relayed"),
            ("DELIVERBY", "NT", False, "no", "traced"),
        ],
    )
    def test_is_said_with_the_result(
        self, client: ClientUnderTest, offer: str, by: str, lmtp: bool, final: str, handed: str
    ) -> None:
        client.parameters["lmtp_assume_final"] = final
        client.service = "lmtp" if lmtp else "smtp"
        deliver_by = f"{int(time.time()) + 99};{by}" if by else ""
        with fake_server({"EHLO": offering(offer), "LHLO": offering(offer)}, lmtp=lmtp) as server:
            assert client.deliver_one(server.nexthop, deliver_by=deliver_by).one.handed == handed

    def test_the_senders_wishes_go_on_as_they_are(self, client: ClientUnderTest) -> None:
        recipient = DeliveryRecipient(1, "b@b.test", "list@a.test", "rfc822;Li+st@a.test", ("success", "delay"))
        with fake_server({"EHLO": offering("DSN")}) as server:
            client.deliver_one(server.nexthop, [recipient], ret="full", envid="QQ 314=159")
            assert server.commands[1:3] == [
                "MAIL FROM:<a@a.test> RET=FULL ENVID=QQ+20314+3D159",
                "RCPT TO:<b@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Li+2Bst@a.test",
            ]


STARTTLS = offering("STARTTLS")
REQUIRETLS = offering("STARTTLS", "REQUIRETLS")


class TestRequiredTls:
    """RFC 8689."""

    def trusting(self, client: ClientUnderTest, folder: Path, level: str = "may") -> None:
        client.parameters |= {
            "smtp_tls_security_level": level,
            "smtp_tls_CAfile": str(folder / "localhost.pem"),
            "inet_protocols": "ipv4",
        }

    @pytest.mark.parametrize("level", ["none", "may", "encrypt", "verify"])
    def test_is_passed_on_over_verified_tls(
        self, client: ClientUnderTest, make_context: MakeContext, tmp_path: Path, level: str
    ) -> None:
        context = make_context("localhost")
        self.trusting(client, tmp_path, level)
        with fake_server({"EHLO": REQUIRETLS}, context=context) as server:
            outcome = client.deliver_one(f"[localhost]:{server.port}", requiretls=True)
            assert outcome.one.status == "sent"
            assert mail_parameters(server) == "REQUIRETLS"
            assert server.heard[0].encrypted

    def test_a_server_that_does_not_take_it_gets_nothing(
        self, client: ClientUnderTest, make_context: MakeContext, tmp_path: Path
    ) -> None:
        context = make_context("localhost")
        self.trusting(client, tmp_path)
        with fake_server({"EHLO": STARTTLS}, context=context) as server:
            outcome = client.deliver_one(f"[localhost]:{server.port}", requiretls=True)
            assert (outcome.one.status, outcome.one.dsn) == ("bounced", "5.7.30")
            assert outcome.one.text == "REQUIRETLS needed, but it was not offered by host localhost[127.0.0.1]"
            assert not any(command.startswith("MAIL") for command in server.commands)
            assert outcome.site == ""

    @pytest.mark.parametrize("certificate", ["other.test", "none"])
    def test_a_server_that_does_not_prove_its_name_gets_nothing(
        self, client: ClientUnderTest, make_context: MakeContext, tmp_path: Path, certificate: str
    ) -> None:
        make_context("localhost")
        context = make_context(certificate)
        self.trusting(client, tmp_path)
        offer = REQUIRETLS if certificate != "none" else offering("REQUIRETLS")
        with fake_server({"EHLO": offer}, context=context) as server:
            outcome = client.deliver_one(f"[localhost]:{server.port}", requiretls=True)
            assert (outcome.one.status, outcome.one.dsn) == ("bounced", "5.7.10")
            assert outcome.one.text.startswith("Encryption needed: ")
            assert not any(command.startswith("MAIL") for command in server.commands)
            assert outcome.site == "", "that says nothing about the destination"

    def test_a_server_that_is_down_may_yet_take_it(
        self, client: ClientUnderTest, make_context: MakeContext, tmp_path: Path
    ) -> None:
        make_context("localhost")
        self.trusting(client, tmp_path)
        with fake_server({"EHLO": REQUIRETLS, "greeting": "421 4.3.2 later"}) as server:
            outcome = client.deliver_one(f"[localhost]:{server.port}", requiretls=True)
            assert outcome.one.status == "deferred"

    @pytest.mark.parametrize("answer", ["454 4.7.0 later", "<drop>", "220 go\nnot a handshake"])
    def test_what_breaks_off_may_yet_come_about(
        self, client: ClientUnderTest, make_context: MakeContext, tmp_path: Path, answer: str
    ) -> None:
        make_context("localhost")
        self.trusting(client, tmp_path)
        with fake_server({"EHLO": REQUIRETLS, "STARTTLS": answer}) as server:
            outcome = client.deliver_one(f"[localhost]:{server.port}", requiretls=True)
            assert outcome.one.status == "deferred"
            assert not any(command.startswith("MAIL") for command in server.commands)

    def test_a_connection_made_for_others_is_not_good_enough(
        self, client: ClientUnderTest, make_context: MakeContext, tmp_path: Path
    ) -> None:
        context = make_context("localhost")
        self.trusting(client, tmp_path)
        with fake_server({"EHLO": REQUIRETLS}, context=context) as server:
            nexthop = f"[localhost]:{server.port}"
            outcomes = client.deliver(
                client.request(nexthop), client.request(nexthop, requiretls=True), client.request(nexthop)
            )
            assert [outcome.one.status for outcome in outcomes] == ["sent"] * 3
            assert len(server.heard) == 2, "the third message uses one of the two"

    def test_a_mailbox_on_this_machine_is_no_relay(self, client: ClientUnderTest, tmp_path: Path) -> None:
        client.service = "lmtp"
        path = str(tmp_path / "lmtp")
        with fake_server(path=path, lmtp=True) as server:
            assert client.deliver_one(f"unix:{path}", requiretls=True).one.status == "sent"
        with fake_server({"LHLO": offering("REQUIRETLS")}, lmtp=True) as server:
            assert client.deliver_one(server.nexthop, requiretls=True).one.status == "sent"
            assert mail_parameters(server) == "REQUIRETLS"

    def test_a_report_is_not_lost_for_it(self, client: ClientUnderTest) -> None:
        with fake_server({"EHLO": offering("REQUIRETLS")}) as server:
            outcome = client.deliver_one(server.nexthop, sender="", requiretls=True)
            assert outcome.one.status == "sent"
            assert mail_parameters(server) == "", "REQUIRETLS means nothing in clear text"

    def test_a_report_passes_it_on_where_it_can(
        self, client: ClientUnderTest, make_context: MakeContext, tmp_path: Path
    ) -> None:
        context = make_context("localhost")
        self.trusting(client, tmp_path)
        with fake_server({"EHLO": REQUIRETLS}, context=context) as server:
            client.deliver_one(f"[localhost]:{server.port}", sender="", requiretls=True)
            assert mail_parameters(server) == "REQUIRETLS"


class TestTlsNotRequired:
    """The field `TLS-Required: No`, RFC 8689 section 3."""

    CONTENT = b"Subject: x\nTLS-Required: No\n\nx\n"

    @pytest.mark.parametrize("level", ["encrypt", "verify", "secure"])
    def test_delivery_goes_before_protection(self, client: ClientUnderTest, level: str) -> None:
        client.parameters["smtp_tls_security_level"] = level
        with fake_server({"EHLO": offering()}) as server:
            assert client.deliver_one(server.nexthop, content=self.CONTENT).one.status == "sent"
            assert client.deliver_one(server.nexthop).one.status == "deferred"

    def test_tls_is_used_all_the_same(self, client: ClientUnderTest, make_context: MakeContext) -> None:
        client.parameters["smtp_tls_security_level"] = "verify"
        with fake_server({"EHLO": STARTTLS}, context=make_context()) as server:
            assert client.deliver_one(server.nexthop, content=self.CONTENT).one.status == "sent"
            assert server.heard[0].encrypted

    def test_its_connection_is_for_its_like_only(self, client: ClientUnderTest) -> None:
        client.parameters["smtp_tls_security_level"] = "encrypt"
        with fake_server({"EHLO": offering()}) as server:
            outcomes = client.deliver(
                client.request(server.nexthop, content=self.CONTENT),
                client.request(server.nexthop),
            )
            assert [outcome.one.status for outcome in outcomes] == ["sent", "deferred"]

    @pytest.mark.parametrize("field", [b"TLS-Required: Yes", b"X-TLS-Required: No", b"TLS-Required: Nope"])
    def test_other_fields_change_nothing(self, client: ClientUnderTest, field: bytes) -> None:
        client.parameters["smtp_tls_security_level"] = "encrypt"
        with fake_server({"EHLO": offering()}) as server:
            content = self.CONTENT.replace(b"TLS-Required: No", field)
            assert client.deliver_one(server.nexthop, content=content).one.status == "deferred"

    def test_can_be_switched_off(self, client: ClientUnderTest) -> None:
        client.parameters |= {"smtp_tls_security_level": "encrypt", "tls_required_enable": "no"}
        with fake_server({"EHLO": offering()}) as server:
            assert client.deliver_one(server.nexthop, content=self.CONTENT).one.status == "deferred"

    def test_requiretls_overrides_it(self, client: ClientUnderTest) -> None:
        client.parameters["smtp_tls_security_level"] = "encrypt"
        with fake_server({"EHLO": offering()}) as server:
            outcome = client.deliver_one(server.nexthop, content=self.CONTENT, requiretls=True)
            assert (outcome.one.status, outcome.one.dsn) == ("bounced", "5.7.10")


def test_a_domain_in_its_own_script_is_looked_up_in_a_labels(client: ClientUnderTest) -> None:
    zone = {"xn--bcher-kva.test.": {"MX": ["10 mx.test."]}, "mx.test.": {"A": ["127.0.0.1"]}}
    with name_server(zone) as dns, fake_server() as server:
        client.servers = [dns.server]
        outcome = client.deliver_one(f"bücher.test:{server.port}", ["a@bücher.test"], smtputf8=True)
        assert outcome.one.status == "sent", outcome.one.text
