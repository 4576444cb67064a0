"""APPENDLIMIT (RFC 7889): how large a message may be that is appended; the same in all mailboxes."""

from __future__ import annotations

from pillarbox.imapd.commands.options import StatusItem
from pillarbox.imapd.protocol.response import NIL
from pillarbox.imapd.session.context import Session
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.imapd import IMAP_APPEND_LIMIT
from pillarbox.lib.store.interface import MailboxStatus


def capability(config: Config) -> str:
    """With the number where there is a limit (section 2), else for STATUS only (section 3.1)."""
    limit = config[IMAP_APPEND_LIMIT]
    return f"APPENDLIMIT={limit}" if limit else "APPENDLIMIT"


def append_limit(session: Session, name: str, status: MailboxStatus) -> bytes:
    """STATUS APPENDLIMIT (section 4)."""
    limit = session.config[IMAP_APPEND_LIMIT]
    return b"%d" % limit if limit else NIL


CAPABILITIES = (capability,)
STATUS_ITEMS: dict[bytes, StatusItem] = {b"APPENDLIMIT": append_limit}
