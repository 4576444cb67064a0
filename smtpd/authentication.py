"""The AUTH exchange: passes challenges and responses between client and the auth service (RFC 4954)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.auth import Challenge, Failure, Step, Success
from pillarbox.lib.log import log
from pillarbox.lib.sasl.wire import encode
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Auth, AuthResponse
from pillarbox.lib.smtp.reading import ABORTED
from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.rates import authentications

if TYPE_CHECKING:
    from pillarbox.smtpd.session import Session


CONNECTION_LOST = "Connection lost to authentication server"


class Authentication:
    """The exchanges of one session, one at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._mechanism = ""
        self._challenge: Challenge | None = None

    async def begin(self, event: Auth) -> None:
        """AUTH was given."""
        session = self._session
        server, client = session.server, session.client
        self._mechanism = event.mechanism
        count = authentications(session)
        if count is not None and (refusal := await count) is not None:
            session.core.answer(refusal)
            return
        try:
            step = await server.auth.begin(
                "smtp",
                event.mechanism,
                event.initial,
                client_address=client.address,
                encrypted=session.core.tls,
                local_address=session.local_address,
                security=session.security,
            )
        except ServiceUnavailable as error:
            self._unavailable(error)
        else:
            self._take(step)

    async def respond(self, event: AuthResponse) -> None:
        """The client has answered the challenge."""
        challenge, self._challenge = self._challenge, None
        assert challenge is not None
        try:
            step = await self._session.server.auth.continue_(challenge, event.data)
        except ServiceUnavailable as error:
            self._unavailable(error)
        else:
            self._take(step)

    def end(self, reason: str) -> None:
        """The exchange is over without an answer of the service: the client gave up, spoke nonsense or has gone."""
        challenge, self._challenge = self._challenge, None
        if challenge is not None:
            self._session.server.auth.abort(challenge)
        if reason == ABORTED:
            log.warning(f"{self._session.client.tag}: SASL {self._mechanism} authentication aborted")
        elif reason:
            self._log(reason, "")

    def _take(self, step: Step) -> None:
        session = self._session
        if isinstance(step, Challenge):
            self._challenge = step
            session.core.answer(replies.challenge(encode(step.data).decode()))
        elif isinstance(step, Success):
            session.sasl_method = step.mechanism
            session.sasl_username = step.username
            session.core.answer(replies.AUTHENTICATED)
        else:
            self._log(_worded(step), step.username)
            session.core.answer(_refusal(step))

    def _unavailable(self, error: ServiceUnavailable) -> None:
        self._log(f"{CONNECTION_LOST}: {error.reason}", "")
        self._session.core.answer(replies.auth_temporary("the authentication service is not available"))

    def _log(self, reason: str, username: str) -> None:
        name = f", sasl_username={username}" if username else ""
        log.warning(f"{self._session.client.tag}: SASL {self._mechanism} authentication failed: {reason}{name}")


def _worded(failure: Failure) -> str:
    """The reason as the log has it.  What is no guess must not look like one: fail2ban's filter leaves these alone."""
    match failure.kind:
        case "temporary":
            return f"{CONNECTION_LOST}: {failure.reason}"
        case "mechanism":
            return "Invalid authentication mechanism"
        case _:
            return failure.reason


def _refusal(failure: Failure) -> Reply:
    """RFC 4954 section 6 and RFC 5248."""
    if failure.temporary:
        return replies.auth_temporary(failure.reason)
    match failure.kind:
        case "malformed":
            return replies.auth_malformed(failure.reason)
        case "mechanism":
            return replies.AUTH_UNKNOWN_MECHANISM
        case "privacy":
            return replies.AUTH_NEEDS_TLS
        case _:
            return replies.auth_failed(failure.reason)
