"""smtpd_reject_footer: a text behind each refusal, for the people who read it in a bounce (postconf(5))."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pillarbox.lib.log import log
from pillarbox.lib.smtp.replies import printable
from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.policy.driver import gather
from pillarbox.smtpd.policy.macros import fill_in, session_macros

if TYPE_CHECKING:
    from pillarbox.smtpd.session import Session

CONTINUE = "\\c"
"""At the beginning: the footer goes on in the last line of the reply."""

LINE = "\\n"
"""Between lines."""


def with_footer(template: str, session: Session, reply: Reply) -> Reply:
    """The reply with the footer; as it is where the template makes no sense."""
    facts = gather(session, "", None)
    transaction = session.transaction
    if transaction is not None:
        facts.given_recipient = transaction.candidate
    values = {
        **session_macros(facts),
        "localtime": time.strftime("%b %d %H:%M:%S", time.localtime(session.server.clock())),
        "process_id": str(os.getpid()),
        "server_name": session.server.host,
    }
    continues = template.startswith(CONTINUE)
    try:
        text = fill_in(template.removeprefix(CONTINUE), values)
    except (ValueError, KeyError) as error:
        log.warning(f"smtpd_reject_footer: {error}")
        return reply
    first, *more = [printable(line) for line in text.split(LINE)]
    lines = (*reply.lines[:-1], reply.lines[-1] + first) if continues else (*reply.lines, first)
    return replace(reply, lines=(*lines, *more))
