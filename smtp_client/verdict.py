"""What a finished or broken transaction means for each of its recipients."""

from __future__ import annotations

from pillarbox.lib.delivery import Result
from pillarbox.lib.smtp.client_reply import ServerReply
from pillarbox.lib.smtp.client_stage import Stage
from pillarbox.lib.smtp.client_transaction import Transaction
from pillarbox.smtp_client import results
from pillarbox.smtp_client.connection import ConversationFailed
from pillarbox.smtp_client.results import local_failure
from pillarbox.smtp_client.route import Server


def never_began(transaction: Transaction, failure: ConversationFailed | None) -> bool:
    """Whether a kept connection had died, or the server left, before it looked at the message.

    421 to MAIL on a kept connection says that the server was about to go anyway.
    """
    reply = transaction.mail_reply
    if reply is None:
        return failure is None or failure.stage in (Stage.RSET, Stage.XFORWARD, Stage.MAIL)
    return reply.code == 421


def farewell_of(transaction: Transaction) -> ServerReply | None:
    """The 421 with which a server left in the middle of an envelope."""
    for reply in transaction.recipient_replies:
        if reply is not None and reply.code == 421:
            return reply
    return None


def verdict(
    n: int,
    number: int,
    transaction: Transaction,
    server: Server,
    failure: ConversationFailed | None,
    farewell: ServerReply | None,
    handed: str,
) -> Result:
    """What a finished or broken transaction means for its recipient `number`: the first thing that went wrong."""
    if transaction.mail_reply is not None and not transaction.mail_accepted:
        return results.said(n, server, transaction.mail_reply, Stage.MAIL)
    reply = transaction.recipient_replies[number]
    if reply is not None and reply.kind != 2:
        return results.said(n, server, results.as_temporary(reply), Stage.RCPT)
    if reply is not None:
        data = transaction.data_reply
        if transaction.probe and (data is None or data.kind == 3) and not (transaction.with_data and data is None):
            return results.sent(n, server, reply, "")
        if data is not None and data.kind != 3:
            return results.said(n, server, data, Stage.DATA)
        final = transaction.final_reply(number)
        if final is not None:
            if final.kind == 2:
                return results.sent(n, server, final, handed)
            return results.said(n, server, final, Stage.END_OF_DATA)
    if farewell is not None:
        if transaction.lmtp and farewell.kind == 5 and len(transaction.accepted) > 1 and transaction.data_reply:
            # With LMTP it is about one recipient, and nobody can say which (RFC 2033 section 4.2).
            return local_failure(n, "4.5.0", f"host {server.name} said before its time: {farewell}", server)
        stage = Stage.RCPT if transaction.data_reply is None else Stage.BODY
        return results.said(n, server, farewell, stage)
    if failure is not None:
        return local_failure(n, failure.dsn, failure.text, server)
    return local_failure(n, "4.4.2", f"lost connection with {server.name} while {Stage.DATA.doing}", server)
