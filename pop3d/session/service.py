"""How a session begins with a client that the login part brings, and how it runs in a thread of its own."""

from __future__ import annotations

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.pop3d import POP3_NO_FLAG_UPDATES, POP3_SESSION_TIMEOUT, POP3_UIDL_FORMAT
from pillarbox.lib.log import log
from pillarbox.lib.login import SessionStart
from pillarbox.lib.process.sessions import SessionKind
from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import StoreError
from pillarbox.lib.store.quota import QuotaPolicy
from pillarbox.pop3d.protocol import replies
from pillarbox.pop3d.protocol.capabilities import terms_of
from pillarbox.pop3d.session.session import Session

SERVICE = "pop3"


def make_session(config: Config, start: SessionStart) -> Session:
    """The session of a client that was taken over."""
    return Session(
        start.stream,
        f"pop3({start.account.address})",
        received=start.pending,
        timeout=config[POP3_SESSION_TIMEOUT],
        flag_updates=not config[POP3_NO_FLAG_UPDATES],
        terms=terms_of(config),
        utf8=start.request.extra.get("utf8") == "yes",
        uidl_format=config[POP3_UIDL_FORMAT],
    )


def run_session(config: Config, session: Session, start: SessionStart, *, apart: bool = False) -> None:
    """Run it to its end, in this thread; closes the client's stream.  `apart`: in the process of `pop3d.system`."""
    account = start.account
    with start.stream:
        quota = QuotaPolicy(config, apart=apart).session(account.quota, hosted=not account.system)
        try:
            store = open_store(account.mail, quota)
        except StoreError as error:
            log.error(f"pop3({account.address}): {error}")
            session.refuse(replies.MAILDROP_UNAVAILABLE)
            return
        session.run(store)


SESSIONS = SessionKind(SERVICE, make_session, run_session)
