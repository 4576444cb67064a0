"""What a session has been through leaves no trace: after the end of a life time it is as if it had not been.

Each history is followed by something that ends a life time; then the session must remember exactly what another one
does that has come there directly.  What is compared is everything that the objects have, so that a new attribute is
looked at from the day on which it is made; what may differ is listed with the reason.
"""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.server import ServerSession
from pillarbox.smtpd.policy.memory import Stretch
from pillarbox.smtpd.session import Session
from tests.smtpd.stage import Peer, Stage, run, stage
from tests.smtpd.test_authentication import _context

SETTINGS = {
    "mynetworks": "192.0.2.0/24",
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_authorized_xclient_hosts": "127.0.0.1",
    "smtpd_authorized_xforward_hosts": "127.0.0.1",
    "smtpd_client_connection_count_limit": "50",
    "message_size_limit": "50",
    "smtpd_soft_error_limit": "1000",
    "smtpd_hard_error_limit": "1000",
}

SHELL = frozenset(
    (
        # the connection and its work
        *("transport", "server", "core", "connections"),
        *("_handlers", "_loop", "_task", "_name_task", "_next", "_released", "_since"),
        # made when first needed, and empty between two uses: looked at below
        *("_authentication", "policy", "client", "origin", "tls", "on_stir"),
    )
)
CONNECTION = frozenset(
    # counters of the whole connection, and what the log says of it
    (
        "counts",
        "errors",
        "where",
        "messages",
        "domains",
        "output",
        "events",
        "conversation",
        "_junk",
        "_count",
        "_shown",
    )
)


def core_memory(core: ServerSession) -> dict[str, object]:
    """What the protocol core remembers."""
    found = {name: value for name, value in vars(core).items() if name not in CONNECTION}
    source = found.pop("input")
    assert len(source) == 0  # type: ignore[arg-type]
    return found


def inherited(session: Session) -> tuple[object, ...]:
    """What access policy hands on; the facts that it has found out about the client hold as long as the client does."""
    connection = session.policy.connection if session.policy is not None else Stretch()
    return connection.deferral, connection.effects


def memory(session: Session) -> dict[str, object]:
    """What a session remembers, without what belongs to the connection."""
    found = {name: value for name, value in vars(session).items() if name not in SHELL}
    found["core"] = core_memory(session.core)
    found["challenge"] = session.authentication._challenge
    found["policy"] = inherited(session)
    found["client"] = (session.client.address, session.client.name, session.client.found, session.client.named)
    found["local"] = session.origin.local_address
    found["tls"] = session.tls is not None
    return found


async def at_rest(scene: Stage, peer: Peer) -> dict[str, object]:
    """The memory of the session that serves this client."""
    port = peer.writer.get_extra_info("sockname")[1]
    assert await peer.say("HELP NOTHING") == "504 5.5.4 HELP topic unknown"
    (session,) = [each for each in scene.server.sessions if each.transport.get_extra_info("peername")[1] == port]
    return memory(session)


HELLO, MAIL, RCPT = "EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<user@here.example>"
PLAIN = "AUTH PLAIN AGFubgBzZWNyZXQ="
BIG = b"x" * 60

HISTORIES: dict[str, tuple[str | bytes, ...]] = {
    "a message": (MAIL, RCPT, "DATA", "x\r\n."),
    "two chunks": (MAIL, RCPT, b"BDAT 1\r\nx", b"BDAT 1 LAST\r\ny"),
    "a binary message": (MAIL + " BODY=BINARYMIME", RCPT, "DATA", b"BDAT 4 LAST\r\n\r\n\0x"),
    "too much data": (MAIL, RCPT, "DATA", BIG + b"\r\n.\r\n"),
    "too large a chunk": (MAIL, RCPT, b"BDAT 60\r\n" + BIG, b"BDAT 1 LAST\r\nx"),
    "a chunk out of place": (MAIL, b"BDAT 6 LAST\r\nQUIT\r\n"),
    "a refused sender": ("MAIL FROM:<a@b.example> X=1", "MAIL FROM:<>"),
    "an open transaction": (MAIL, RCPT, "RCPT TO:<nobody@here.example>"),
    "an open chunk": (MAIL, RCPT, b"BDAT 1\r\nx"),
    "no recipient": (MAIL, "RCPT TO:<nobody@here.example>", "DATA"),
    "XFORWARD": ("XFORWARD NAME=a.example ADDR=192.0.2.1", "XFORWARD PORT=x"),
    "XFORWARD and MAIL": ("XFORWARD NAME=a.example", MAIL),
    "AUTH given up": ("AUTH TWOSTEP", "*"),
    "AUTH of nonsense": ("AUTH TWOSTEP", "?"),
    "AUTH that failed": ("AUTH PLAIN AGFubgB3cm9uZw==",),
    "VRFY and EXPN": ("VRFY user@here.example", "VRFY nobody@here.example", "EXPN list", "ETRN a.example"),
    "a refused XCLIENT": ("XCLIENT ADDR=x", "XCLIENT IDENT=x"),
    "parameters": (MAIL + " SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=x BY=60;RT SIZE=10", RCPT + " NOTIFY=NEVER"),
    "nonsense": ("XYZZY", "MAIL", "RCPT TO:<a@b>", "DATA x", b"NOOP " + b"x" * 3000 + b"\r\n"),
}


@pytest.mark.parametrize("end", ["RSET", HELLO])
@pytest.mark.parametrize("name", HISTORIES)
def test_a_transaction_leaves_nothing(name: str, end: str) -> None:
    async def scenario() -> None:
        async with stage(**SETTINGS) as scene:
            direct, other = await scene.connect(), await scene.connect()
            await direct.say(HELLO, end)
            await other.say(HELLO, *HISTORIES[name], end)
            assert await at_rest(scene, other) == await at_rest(scene, direct)

    run(scenario)


@pytest.mark.parametrize("authenticated", [False, True])
@pytest.mark.parametrize("name", HISTORIES)
def test_xclient_leaves_nothing(name: str, authenticated: bool) -> None:
    async def scenario() -> None:
        async with stage(**SETTINGS, hosts="127.0.0.1 localhost\n192.0.2.9 client.example\n") as scene:
            direct, other = await scene.connect(), await scene.connect()
            xclient = "XCLIENT ADDR=192.0.2.9 PORT=5"
            await direct.say(xclient)
            # Who is authenticated cannot begin another AUTH.
            may = not name.startswith("AUTH")
            if authenticated:
                before = ("XCLIENT ADDR=127.0.0.2 HELO=h", HELLO, PLAIN if may else "NOOP")
            else:
                before = (f"XCLIENT NAME=x.example DESTADDR=192.0.2.1{' LOGIN=ann' if may else ''}", HELLO, "NOOP")
            await other.say(*before, *HISTORIES[name], "RSET", xclient)
            first, second = await at_rest(scene, direct), await at_rest(scene, other)
            # What the proxy does not say of our own end stays.
            kept = "127.0.0.1" if authenticated else "192.0.2.1"
            assert (first.pop("local"), second.pop("local")) == ("127.0.0.1", kept)
            assert second == first
            assert all(session.policy is None for session in scene.server.sessions)

    run(scenario)


@pytest.mark.parametrize("name", HISTORIES)
def test_starttls_leaves_nothing(name: str) -> None:
    async def scenario() -> None:
        async with stage(**SETTINGS, tls=_context()) as scene:
            direct, other = await scene.connect(), await scene.connect()
            await direct.say("STARTTLS")
            await direct.start_tls()
            login = "NOOP" if name.startswith("AUTH") else PLAIN
            await other.say(HELLO, login, *HISTORIES[name], "RSET", "STARTTLS")
            await other.start_tls()
            assert await at_rest(scene, other) == await at_rest(scene, direct)

    run(scenario)


def test_a_refusal_after_a_withdrawn_message_has_not_its_id() -> None:
    async def scenario() -> None:
        async with stage(**SETTINGS) as scene:
            peer = await scene.connect()
            await peer.say(HELLO, MAIL, RCPT, "DATA", BIG + b"\r\n.\r\n")
            assert scene.logged("4jXFYl6dnjzKD6m: reject: END-OF-MESSAGE")
            await peer.say(MAIL, "RCPT TO:<nobody@here.example>")
            assert scene.logged("NOQUEUE: reject: RCPT")

    run(scenario)
