"""The message that tells an account's owner and the postmaster that the account's mail is held, and what to do."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.cleanup import Rejected
from pillarbox.lib.clients.reputation import Standing
from pillarbox.lib.log import log
from pillarbox.lib.message.date import format_date
from pillarbox.lib.message.message_id import make_message_id
from pillarbox.lib.message.trace import received_by
from pillarbox.lib.queue.envelope import Envelope, Recipient

if TYPE_CHECKING:
    from pillarbox.smtpd.server import Server

WIDTH: Final = 72


@dataclass(frozen=True, slots=True)
class Site:
    """Who writes: our host name, and the domain of our own addresses."""

    host: str
    origin: str


def recipients(standing: Standing, postmaster: str, origin: str) -> tuple[str, ...]:
    """The owner, where the account is or can be made an address, and the postmaster."""
    owner = standing.account if "@" in standing.account else f"{standing.account}@{origin}"
    return tuple(dict.fromkeys(address for address in (owner, postmaster) if address))


_WHAT: Final = """\
The mail that the account {account} sends by {host} is being held: {reason}."""

_WHY: Final = """\
So much mail usually means that somebody else knows the account's password and sends spam with it.  Nothing is lost:
what the account has sent within its limits has gone out, and what it has sent since waits in the queue, on hold.  Mail
that comes in for the account is delivered as ever."""

_OWNER: Final = """\
If you are the owner of {account} and have not sent all this:

  1. Choose a new password at once, on a computer that you trust.
  2. Tell the postmaster, who can look at what is held and delete it.

If you have sent it yourself, tell the postmaster, who can let it go.
"""

_POSTMASTER: Final = """\
For the postmaster:

  pillarbox account list
        shows which accounts are held, and why
  pillarbox user passwd {account}
        sets a new password
  mailq
        shows the held messages, each marked with "!"
  postcat -q ID
        shows one of them
  postsuper -d ID
        deletes one of them
  pillarbox account release {account}
        lets go what is still held, and lets the account send again

This message is sent once.  Until the account is released, its mail goes
on being held.
"""


def text(standing: Standing, host: str) -> str:
    """The body, in lines that end in LF."""
    values = {"account": standing.account, "host": host, "reason": standing.reason}
    parts = (_filled(_WHAT.format(**values)), _filled(_WHY), _OWNER.format(**values), _POSTMASTER.format(**values))
    return "\n".join(parts)


def _filled(paragraph: str) -> str:
    words = " ".join(paragraph.split())
    return textwrap.fill(words, WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def message(standing: Standing, to: tuple[str, ...], site: Site, when: float, queue_id: str) -> bytes:
    """The whole message, in lines that end in LF."""
    header = (
        f"Date: {format_date(when)}",
        f"From: Mail Delivery System <MAILER-DAEMON@{site.origin}>",
        f"To: {', '.join(to)}",
        f"Subject: The mail of {standing.account} is being held",
        f"Message-ID: {make_message_id(queue_id, site.host, when)}",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
    )
    content = "\n".join(header) + "\n\n" + text(standing, site.host)
    return received_by(host=site.host, queue_id=queue_id, when=when) + content.encode("utf-8", "replace")


async def send_notice(server: Server, standing: Standing) -> None:
    """Give the message to cleanup; where that fails, reputation asks another time."""
    to = recipients(standing, server.screening.notice_recipient, server.origin)
    now = server.clock()
    try:
        outgoing = await server.cleanup.open()
        outgoing.begin(Envelope("", tuple(Recipient(address) for address in to), now, body="8bitmime", origin="smtpd"))
        outgoing.gather(message(standing, to, Site(server.host, server.origin), now, outgoing.queue_id))
        receipt = await outgoing.commit()
    except (ServiceUnavailable, Rejected) as error:
        log.warning(f"nobody could be told that mail of {standing.account} is held: {error}")
        return
    server.reputation.told(standing.account)
    log.info(f"{receipt.queue_id}: account notice: mail of {standing.account} is held: {standing.reason}")
