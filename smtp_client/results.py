"""What a recipient's result says, in Postfix's words, because log parsers and people know them."""

from __future__ import annotations

import re

from pillarbox.lib.delivery import BOUNCED, DEFERRED, SENT, Result
from pillarbox.lib.smtp.client_reply import ServerReply
from pillarbox.lib.smtp.client_stage import Stage
from pillarbox.smtp_client.route import Server

_OLD_552 = re.compile(r"(?![245]\.\d)|5\.5\.3\b")


def local_failure(n: int, dsn: str, text: str, server: Server | None = None) -> Result:
    """A verdict of our own: no remote system said anything that a DSN could quote."""
    return Result(n, BOUNCED if dsn.startswith("5") else DEFERRED, dsn, text, server.relay if server else "none")


def said(n: int, server: Server, reply: ServerReply, stage: Stage) -> Result:
    """A refusal: `host h[a] said: 550 ... (in reply to RCPT TO command)`."""
    text = f"host {server.name} said: {reply} (in reply to {stage.command})"
    if reply.kind in (4, 5):
        return from_reply(n, server, reply, reply.enhanced, text)
    # Neither yes nor no: nothing that could be called authoritative, so the mail waits (RFC 3463, X.5.0).
    return from_reply(n, server, reply, "4.5.0", f"Protocol error: {text}")


def from_reply(n: int, server: Server, reply: ServerReply, dsn: str, text: str) -> Result:
    """A result that quotes a remote reply (RFC 3464 sections 2.3.5 and 2.3.6)."""
    status = BOUNCED if dsn.startswith("5") else DEFERRED
    return Result(n, status, dsn, text, server.relay, remote_mta(server), f"smtp; {reply}")


def sent(n: int, server: Server, reply: ServerReply, handed: str) -> Result:
    """Done: the remote's words stand in the log; `handed` says who sends reports from here on."""
    return Result(n, SENT, reply.enhanced, str(reply), server.relay, remote_mta(server), f"smtp; {reply}", handed)


def remote_mta(server: Server) -> str:
    """The Remote-MTA field's value."""
    return f"dns; {server.host}"


def refused(server: Server, reply: ServerReply, soften: bool) -> tuple[str, str]:
    """Code and text for a server that does not take mail at all; `soften` makes a 5xx temporary."""
    dsn = reply.enhanced
    if dsn[0] not in "45":
        dsn = "4.5.0"
    elif soften:
        dsn = f"4{dsn[1:]}"
    return dsn, f"host {server.name} refused to talk to me: {reply}"


def as_temporary(reply: ServerReply) -> ServerReply:
    """552 after RCPT means "too many recipients" to old servers and is then temporary (RFC 5321 section 4.5.3.1.10).

    A server that says with an enhanced code what it means, as 5.2.2 for a full mailbox, is taken at its word.
    """
    if reply.code != 552 or not _OLD_552.match(reply.lines[-1]):
        return reply
    text = reply.lines[-1]
    if reply.enhanced in text:
        text = text.replace(reply.enhanced, f"4{reply.enhanced[1:]}", 1)
    return ServerReply(452, (*reply.lines[:-1], text))
