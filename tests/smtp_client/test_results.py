"""What becomes of recipients when servers say yes, no or nothing, in every phase; the words are Postfix's."""

from __future__ import annotations

import pytest

from pillarbox.lib.delivery import DeliveryRecipient
from pillarbox.lib.smtp.client_reply import ServerReply
from pillarbox.smtp_client.results import as_temporary
from tests.smtp_client.conftest import CONTENT, ClientUnderTest
from tests.smtp_client.fake_server import DROP, HANG, fake_server, unused_port

HOST = "127.0.0.1[127.0.0.1]"
PLAIN = "250-mx.test\n250 8BITMIME"


def test_a_message_arrives_as_it_is(client: ClientUnderTest) -> None:
    with fake_server() as server:
        outcome = client.deliver_one(server.nexthop)
        assert outcome.one.status == "sent"
        assert (outcome.one.dsn, outcome.one.text) == ("2.0.0", "250 2.0.0 Ok: queued")
        assert outcome.one.relay == f"{HOST}:{server.port}"
        assert server.messages == [CONTENT.replace(b"\n", b"\r\n")]
        assert outcome.site == ""


def test_the_log_line_is_postfix_form(client: ClientUnderTest) -> None:
    with fake_server() as server:
        recipient = DeliveryRecipient(7, "b@b.test", original="list@a.test")
        outcome = client.deliver_one(server.nexthop, [recipient])
        (line,) = outcome.log
        assert line.startswith(
            f"4jXFYl6dnjzKD6m: to=<b@b.test>, orig_to=<list@a.test>, relay={HOST}:{server.port}, delay="
        )
        assert line.endswith(", dsn=2.0.0, status=sent (250 2.0.0 Ok: queued)")


def test_the_envelope_is_one_flight(client: ClientUnderTest) -> None:
    with fake_server() as server:
        client.deliver_one(server.nexthop, ["b@b.test", "c@b.test"], envid="e 1", ret="hdrs", body="8bitmime")
        assert server.commands == [
            "EHLO me.test",
            f"MAIL FROM:<a@a.test> SIZE={len(CONTENT)} BODY=8BITMIME RET=HDRS ENVID=e+201",
            "RCPT TO:<b@b.test> ORCPT=rfc822;b@b.test",
            "RCPT TO:<c@b.test> ORCPT=rfc822;c@b.test",
            "DATA",
            "QUIT",
        ]


def test_large_content_is_streamed_whole(client: ClientUnderTest) -> None:
    content = b"Subject: large\n\n" + b"".join(b".%d %s\n" % (n, b"x" * (n % 90)) for n in range(20000))
    with fake_server({"EHLO": PLAIN}) as server:
        assert client.deliver_one(server.nexthop, content=content).one.status == "sent"
        assert server.messages == [content.replace(b"\n", b"\r\n")]


def test_each_recipient_has_its_own_verdict(client: ClientUnderTest) -> None:
    verdicts = {"no@b.test": "550 5.1.1 no such user", "later@b.test": "450 4.2.1 busy", "many@b.test": "552 too many"}

    def rcpt(number: int, argument: str) -> str:
        return next((reply for address, reply in verdicts.items() if address in argument), "250 2.1.5 Ok")

    for ehlo in ("250-mx.test\n250 PIPELINING", PLAIN):
        with fake_server({"RCPT": rcpt, "EHLO": ehlo}) as server:
            outcome = client.deliver_one(server.nexthop, ["yes@b.test", *verdicts])
            assert outcome["yes@b.test"].status == "sent"
            no = outcome["no@b.test"]
            assert (no.status, no.dsn) == ("bounced", "5.1.1")
            assert no.text == f"host {HOST} said: 550 5.1.1 no such user (in reply to RCPT TO command)"
            assert (no.remote_mta, no.diagnostic) == ("dns; 127.0.0.1", "smtp; 550 5.1.1 no such user")
            assert (outcome["later@b.test"].status, outcome["later@b.test"].dsn) == ("deferred", "4.2.1")
            # RFC 5321 section 4.5.3.1.10
            assert (outcome["many@b.test"].status, outcome["many@b.test"].dsn) == ("deferred", "4.0.0")
            assert outcome.site == ""


@pytest.mark.parametrize(
    ("moment", "command"),
    [
        ("MAIL", "MAIL FROM command"),
        ("RCPT", "RCPT TO command"),
        ("DATA", "DATA command"),
        ("content", "end of DATA command"),
    ],
)
@pytest.mark.parametrize("ehlo", ["250-mx.test\n250 PIPELINING", PLAIN])
@pytest.mark.parametrize(("reply", "status"), [("554 5.7.1 no", "bounced"), ("451 4.7.1 later", "deferred")])
def test_refusals_in_each_phase(
    client: ClientUnderTest, moment: str, command: str, ehlo: str, reply: str, status: str
) -> None:
    with fake_server({moment: reply, "EHLO": ehlo}) as server:
        result = client.deliver_one(server.nexthop).one
        assert (result.status, result.dsn) == (status, reply.split()[1])
        assert result.text == f"host {HOST} said: {reply} (in reply to {command})"


@pytest.mark.parametrize(
    ("moment", "doing"),
    [
        ("greeting", "receiving the initial server greeting"),
        ("EHLO", "performing the EHLO handshake"),
        ("MAIL", "sending MAIL FROM"),
        ("RCPT", "sending RCPT TO"),
        ("DATA", "sending DATA command"),
        ("content", "sending end of data -- message may be sent more than once"),
    ],
)
class TestBrokenOff:
    """A connection that dies or hangs defers the mail, whatever the phase."""

    def test_lost_connections(self, client: ClientUnderTest, moment: str, doing: str) -> None:
        with fake_server({moment: DROP}) as server:
            outcome = client.deliver_one(server.nexthop)
            assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.4.2")
            assert outcome.one.text == f"lost connection with {HOST} while {doing}"
            assert bool(outcome.site) == (moment in ("greeting", "EHLO"))

    def test_timeouts(self, client: ClientUnderTest, moment: str, doing: str) -> None:
        # Only the moment that hangs has a short limit: on a busy machine any other may take longer than that.  With the
        # long limit of another moment the server would be the first to give up.
        for other in ("helo", "mail", "rcpt", "data_init", "data_xfer", "data_done"):
            client.parameters[f"smtp_{other}_timeout"] = "60s"
        name = {"MAIL": "mail", "RCPT": "rcpt", "DATA": "data_init", "content": "data_done"}.get(moment, "helo")
        client.parameters[f"smtp_{name}_timeout"] = "0.1s" if name != "helo" else "1s"
        with fake_server({moment: HANG}) as server:
            outcome = client.deliver_one(server.nexthop)
            assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.4.2")
            assert outcome.one.text == f"conversation with {HOST} timed out while {doing}"

    def test_garbage(self, client: ClientUnderTest, moment: str, doing: str) -> None:
        with fake_server({moment: "\x16\x03\x01 garbage"}) as server:
            outcome = client.deliver_one(server.nexthop)
            assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.5.0")
            assert "malformed reply" in outcome.one.text


def test_a_server_that_stops_reading_content_times_out(client: ClientUnderTest) -> None:
    client.parameters["smtp_data_xfer_timeout"] = "0.2s"
    with fake_server({"body": HANG, "EHLO": "250 mx.test"}) as server:
        outcome = client.deliver_one(server.nexthop, content=b"x" * 70 + b"\n" + b"y\n" * 8_000_000)
        assert outcome.one.text == f"conversation with {HOST} timed out while sending message body"


def test_a_server_that_drops_within_the_content(client: ClientUnderTest) -> None:
    with fake_server({"body": DROP, "EHLO": "250 mx.test"}) as server:
        outcome = client.deliver_one(server.nexthop, content=b"y\n" * 4_000_000)
        assert outcome.one.status == "deferred"
        assert outcome.one.text.startswith(f"lost connection with {HOST} while sending")


def test_nobody_listening(client: ClientUnderTest) -> None:
    port = unused_port()
    outcome = client.deliver_one(f"[127.0.0.1]:{port}", ["b@b.test", "c@b.test"])
    reason = f"connect to {HOST}:{port}: Connection refused"
    assert {result.text for result in outcome.results.values()} == {reason}
    assert (outcome["b@b.test"].status, outcome["b@b.test"].dsn, outcome["b@b.test"].relay) == (
        "deferred",
        "4.4.1",
        "none",
    )
    assert outcome.site == reason
    assert outcome.log[0] == reason


def test_a_refusing_greeting_is_temporary_by_default(client: ClientUnderTest) -> None:
    with fake_server({"greeting": "554 5.7.1 go away"}) as server:
        outcome = client.deliver_one(server.nexthop)
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.7.1")
        assert outcome.one.text == f"host {HOST} refused to talk to me: 554 5.7.1 go away"
        assert outcome.site == outcome.one.text


def test_a_refusing_greeting_can_be_final(client: ClientUnderTest) -> None:
    client.parameters["smtp_skip_5xx_greeting"] = "no"
    with fake_server({"greeting": "554 5.7.1 go away"}) as server:
        assert client.deliver_one(server.nexthop).one.status == "bounced"


def test_a_server_without_ehlo_gets_helo(client: ClientUnderTest) -> None:
    with fake_server({"EHLO": "502 what?"}) as server:
        assert client.deliver_one(server.nexthop).one.status == "sent"
        assert server.commands[:3] == ["EHLO me.test", "HELO me.test", "MAIL FROM:<a@a.test>"]


def test_421_in_the_envelope_is_the_reason_for_all(client: ClientUnderTest) -> None:
    def rcpt(number: int, argument: str) -> str:
        return "250 2.1.5 Ok" if number == 1 else "421 4.3.2 shutting down"

    with fake_server({"RCPT": rcpt, "EHLO": PLAIN}) as server:
        outcome = client.deliver_one(server.nexthop, ["b@b.test", "c@b.test", "d@b.test"])
        reason = f"host {HOST} said: 421 4.3.2 shutting down (in reply to RCPT TO command)"
        assert {result.text for result in outcome.results.values()} == {reason}


@pytest.mark.parametrize("moment", ["MAIL", "RCPT", "DATA", "content"])
def test_a_reply_of_the_wrong_kind_defers(client: ClientUnderTest, moment: str) -> None:
    wrong = "250 hm" if moment == "DATA" else "354 hm"
    with fake_server({moment: wrong}) as server:
        result = client.deliver_one(server.nexthop).one
        assert (result.status, result.dsn) == ("deferred", "4.5.0")
        assert result.text.startswith("Protocol error: host ")


def test_an_early_verdict_is_taken_and_the_content_broken_off(client: ClientUnderTest) -> None:
    with fake_server({"DATA": "354 go\n552 5.3.4 too big"}) as server:
        result = client.deliver_one(server.nexthop).one
        assert (result.status, result.dsn) == ("bounced", "5.3.4")


def test_a_message_above_the_announced_size_is_returned(client: ClientUnderTest) -> None:
    with fake_server({"EHLO": "250-mx.test\n250 SIZE 10"}) as server:
        outcome = client.deliver_one(server.nexthop)
        assert (outcome.one.status, outcome.one.dsn) == ("bounced", "5.3.4")
        assert outcome.one.text == f"message size {len(CONTENT)} exceeds size limit 10 of server {HOST}"
        assert not any(command.startswith("MAIL") for command in server.commands)


def test_a_corrupt_queue_file_is_never_sent_half(client: ClientUnderTest) -> None:
    with fake_server() as server:
        outcome = client.deliver_one(server.nexthop, size=1000)
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.3.0")
        assert outcome.one.text == f"local data error while talking to {HOST}"
        assert server.ended.wait(30)
        assert server.messages == []


def test_control_characters_in_a_recipient_stay_here(client: ClientUnderTest) -> None:
    with fake_server() as server:
        outcome = client.deliver_one(server.nexthop, ["b@b.test\r\nDATA", "c@b.test"])
        assert (outcome["b@b.test\r\nDATA"].status, outcome["b@b.test\r\nDATA"].dsn) == ("bounced", "5.1.3")
        assert outcome["c@b.test"].status == "sent"


def test_a_bad_next_hop_defers(client: ClientUnderTest) -> None:
    assert client.deliver_one("[127.0.0.1]:nonsense").one.dsn == "4.3.5"


class TestInternational:
    """SMTPUTF8 (RFC 6531) where it is needed, and only there."""

    def test_is_announced_where_offered(self, client: ClientUnderTest) -> None:
        with fake_server() as server:
            outcome = client.deliver_one(server.nexthop, ["ä@b.test"], smtputf8=True, sender="ö@a.test")
            assert outcome.one.status == "sent"
            assert server.commands[1].endswith(" SMTPUTF8")

    def test_is_required_for_a_local_part(self, client: ClientUnderTest) -> None:
        with fake_server({"EHLO": PLAIN}) as server:
            outcome = client.deliver_one(server.nexthop, ["ä@b.test", "c@b.test"], smtputf8=True)
            assert (outcome["ä@b.test"].status, outcome["ä@b.test"].dsn) == ("bounced", "5.6.7")
            assert outcome["ä@b.test"].text == f"SMTPUTF8 is required, but was not offered by host {HOST}"
            assert outcome["c@b.test"].status == "sent"

    def test_is_required_for_a_header(self, client: ClientUnderTest) -> None:
        with fake_server({"EHLO": PLAIN}) as server:
            content = "Subject: ä\n\nx\n".encode()
            outcome = client.deliver_one(server.nexthop, smtputf8=True, content=content)
            assert outcome.one.dsn == "5.6.7"

    def test_is_not_required_for_a_domain(self, client: ClientUnderTest) -> None:
        with fake_server({"EHLO": PLAIN}) as server:
            assert client.deliver_one(server.nexthop, ["c@bücher.test"], smtputf8=True).one.status == "sent"
            assert server.commands[2] == "RCPT TO:<c@xn--bcher-kva.test>"


@pytest.mark.parametrize(
    ("text", "code"),
    [("too many recipients", 452), ("5.5.3 too many", 452), ("5.2.2 mailbox full", 552), ("5.3.4 too big", 552)],
)
def test_552_after_rcpt_is_temporary_unless_it_says_something_else(text: str, code: int) -> None:
    assert as_temporary(ServerReply(552, (text,))).code == code
