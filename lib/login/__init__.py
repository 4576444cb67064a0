"""Logging in to a mailbox protocol: what the login and session parts of imapd, pop3d and managesieved share.

A mailbox protocol is served in two parts.  The *login part* runs as the net user, confined, without a mail store in
reach; it speaks to clients that nobody knows yet.  The *session part* runs as the owner of the mailbox.

    client ---> login part --(token, descriptor or stream)--> session part
                    |                                             |
                    +----- check credentials -----> auth <--------+ redeem the token

The token comes from auth and is good for one session of one account, so a login part that has been taken over cannot
claim to be another user: it can only pass on clients that auth let in.  A client in clear text moves as a descriptor,
and the login part is rid of it; under TLS the keys stay in the login part, which passes bytes on in both directions.

In a login program:

    class ImapLogin(LoginProtocol):                       # the dialogue, one small class of each protocol
        async def talk(self, login: Login) -> None: ...

    front = LoginFront(config, ImapLogin(config), tls_context)
    serve_connections(worker, front.handle)               # and worker.on_stop = front.stop

In a session program:

    start = await receive_session(socket, auth, "imap")   # None: refused, already answered
    start.stream, start.account, start.pending ...

`serve_system_sessions` is the root parent that starts sessions of system users, in a child for each user.
"""

from pillarbox.lib.login.connection import ClientConnection, ClientGone, LineTooLong
from pillarbox.lib.login.front import Login, LoginFront, LoginProtocol
from pillarbox.lib.login.handover import HandOverFailed, SessionStart, receive_session
from pillarbox.lib.login.system import places_of, serve_system_sessions, sessions_apart
from pillarbox.lib.login.user_process import UserSessions

__all__ = [
    "ClientConnection",
    "ClientGone",
    "HandOverFailed",
    "LineTooLong",
    "Login",
    "LoginFront",
    "LoginProtocol",
    "SessionStart",
    "UserSessions",
    "places_of",
    "receive_session",
    "serve_system_sessions",
    "sessions_apart",
]
