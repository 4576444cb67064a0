"""How a session begins with a client that the login part brings, and how it runs in a thread of its own."""

from __future__ import annotations

import re

from pillarbox.lib.address.address import split_address
from pillarbox.lib.clients.auth import Account
from pillarbox.lib.config import Config
from pillarbox.lib.config.location import ELSEWHERE
from pillarbox.lib.config.parameters.general import MYHOSTNAME
from pillarbox.lib.config.parameters.managesieved import MANAGESIEVE_REFERRAL, MANAGESIEVE_SESSION_TIMEOUT
from pillarbox.lib.config.parameters.sieve import SIEVE_MAX_SCRIPT_SIZE
from pillarbox.lib.login import SessionStart
from pillarbox.lib.process.sessions import SessionKind
from pillarbox.lib.sieve_box.running import Owner
from pillarbox.lib.sieve_box.storage import READ_LIMIT, ScriptStorage
from pillarbox.managesieved.protocol import replies
from pillarbox.managesieved.protocol.capabilities import Capabilities
from pillarbox.managesieved.session.session import Session

SERVICE = "sieve"

_PORT = re.compile(r":\d+\Z")


def make_session(config: Config, start: SessionStart) -> Session:
    """The session of a client that was taken over."""
    address = start.account.address
    sasl = start.request.extra.get("sasl")
    return Session(
        start.stream,
        f"managesieve({address})",
        received=start.pending,
        timeout=config[MANAGESIEVE_SESSION_TIMEOUT],
        literal_limit=config[SIEVE_MAX_SCRIPT_SIZE] or READ_LIMIT,
        capabilities=replies.capability(Capabilities(config).after_login(address)),
        sasl=None if sasl is None else sasl.encode("ascii"),
    )


def run_session(config: Config, session: Session, start: SessionStart) -> None:
    """Run it to its end, in this thread; closes the client's stream."""
    with start.stream:
        if server := referral(config, start.account):
            session.refer(server)
        else:
            session.run(lambda: ScriptStorage(config, owner_of(config, start.account)))


SESSIONS = SessionKind(SERVICE, make_session, run_session)


def referral(config: Config, account: Account) -> str:
    """The URL of the server that has the account's scripts (RFC 5804 section 1.3); "" where they are here."""
    if not account.mail.startswith(ELSEWHERE):
        return ""
    if named := config[MANAGESIEVE_REFERRAL]:
        return named
    host = account.mail.removeprefix(ELSEWHERE).rstrip("/")
    return f"sieve://{_PORT.sub('', host)}"  # the port was that of IMAP


def owner_of(config: Config, account: Account) -> Owner:
    """Whose scripts they are, as delivery names them (`virtual.filtering`, `local.sieve`)."""
    if account.system:
        return Owner(account.home, account.address, config[MYHOSTNAME])
    local, domain = split_address(account.address)
    return Owner(account.home, local, domain)
