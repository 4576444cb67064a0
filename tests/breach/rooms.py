"""What each program may do of all that the attackers try; everything else must be denied.

A room is a program of `master.yaml`.  The reason for a permission stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

_UNIX = {
    "connect-foreign",  # Landlock cannot see sockets with a path; permissions guard those of the suite
    "connect-public-qmgr",  # public: any user of the machine may
}
_FOR_NET = {
    "connect-cleanup",
    "connect-lookup",
    "connect-auth",
    "connect-anvil",
    "connect-milter",
    "connect-mta_sts",
    "connect-quota",
    "connect-reputation",
    "connect-tlsrpt",
    "connect-verify",
}
_FOR_LOGIN = {
    *("connect-imap", "connect-imap-system", "connect-pop3", "connect-pop3-system"),
    *("connect-managesieve", "connect-managesieve-system"),
}
_NET_OWNER = _UNIX | _FOR_NET | _FOR_LOGIN  # one uid: the sockets cannot tell its programs apart
_MAIL_OWNER = _UNIX | {
    "connect-cleanup",
    "connect-lookup",
    "connect-auth",
    "connect-bounce",
    "connect-milter",
    "connect-reputation",  # the queue manager asks for the suppression list
    "learn-alias-value",  # cleanup expands aliases, and has the same uid
    *(f"connect-{agent}" for agent in ("virtual", "local", "smtp", "relay", "lmtp", "probe", "probe-lmtp")),
}
_OTHERS = _UNIX | {"connect-lookup", "connect-auth"}

_LOG_WRITTEN_BY_FEW = {
    # They shorten files of their own after a failure, and a filter cannot tell one descriptor from another.
    "truncate-inherited-log",
}

_QUEUES = ("incoming", "active", "deferred", "hold", "corrupt")
_CHANGE_MESSAGES = {
    "write-held-message",
    "remove-held-message",
    "truncate-held-message",
    "link-message",
    "list-hold",
}
_ATTRIBUTES = {
    # As the owner of the queue, where the program must set modes or times of its own files: Landlock has no such rule.
    "chmod-held-message",
    "chmod-queue",
    "touch-deferred-message",
}


_SMTP_CLIENT = {"connect-tcp", "connect-tcp-fast-open", "send-udp"}


@dataclass(frozen=True, slots=True)
class Room:
    """`may`: attacks that succeed by design.  `parent`: a root parent of a few lines, whose children are attacked."""

    may: frozenset[str] = frozenset()
    parent: bool = False


def _may(*sets: set[str]) -> Room:
    return Room(frozenset[str]().union(*sets))


_CLEANUP = _may(
    _MAIL_OWNER,
    {f"{verb}-{place}" for verb in ("read", "write") for place in ("incoming", "spare")},
    # hold/: what a rule sets aside is moved there; what lies there cannot be read, changed or removed.
)
_VMAIL_OWNER = _OTHERS | {"connect-cleanup-virtual"}  # Sieve sends mail; one uid, as above


ROOMS: dict[str, Room] = {
    # --- before the network: no file at all
    "smtpd": _may(_NET_OWNER, {"send-udp"}),  # DNS
    "smtp_client": _may(_SMTP_CLIENT, _NET_OWNER),  # it asks for MTA-STS policies, and lookup where it has tables
    "anvil": _may(),
    "milter": _may(_NET_OWNER, {"send-udp"}),  # DNS; by TCP the ports of the configured milters, none of which is tried
    "imapd.login": _may(_NET_OWNER),
    "pop3d.login": _may(_NET_OWNER),
    "managesieved.login": _may(_NET_OWNER),
    # --- the queue
    "pickup": _may(
        _MAIL_OWNER,
        {f"{verb}-{place}" for verb in ("read", "write") for place in ("maildrop", "corrupt")},
    ),
    "cleanup": _CLEANUP,
    "cleanup.virtual": _CLEANUP,
    "qmgr": _may(
        _MAIL_OWNER,
        _CHANGE_MESSAGES,
        _ATTRIBUTES,
        {f"{verb}-{place}" for verb in ("read", "write") for place in (*_QUEUES, "spare")},
        {
            "read-maildrop",
            "write-maildrop",
        },  # what was requeued in the middle of its delivery is marked and removed there
        {"write-delivery"},
    ),
    "bounce": _may(
        _MAIL_OWNER,
        _LOG_WRITTEN_BY_FEW,
        _ATTRIBUTES,
        {f"{verb}-{place}" for verb in ("read", "write") for place in ("defer", "bounce")},
    ),
    "showq": _may({f"read-{place}" for place in (*_QUEUES, "defer", "maildrop")}, {"list-hold"}),
    # --- mailboxes of hosted users; sessions and virtual have the port of a database, which no attack is aimed at
    "virtual": _may(_VMAIL_OWNER, _LOG_WRITTEN_BY_FEW, {"read-hosted-mailbox", "write-mail", "write-mailbox"}),
    "imapd.session": _may(_VMAIL_OWNER, _LOG_WRITTEN_BY_FEW, {"read-hosted-mailbox", "write-mail", "write-mailbox"}),
    "pop3d.session": _may(_VMAIL_OWNER, _LOG_WRITTEN_BY_FEW, {"read-hosted-mailbox", "write-mail", "write-mailbox"}),
    "managesieved.session": _may(
        _VMAIL_OWNER, _LOG_WRITTEN_BY_FEW, {"read-hosted-mailbox", "write-mail", "write-mailbox"}
    ),
    "quota": _may(_VMAIL_OWNER, _LOG_WRITTEN_BY_FEW, {"read-hosted-mailbox", "write-mail", "write-mailbox"}),
    # --- what the others ask
    "lookup": _may(_OTHERS),
    "reputation": _may(_LOG_WRITTEN_BY_FEW, {"list-reputation", "write-reputation"}),
    "verify": _may(_MAIL_OWNER, _LOG_WRITTEN_BY_FEW, {"write-verify"}),
    # Sockets only because the attacked instance has oauth_introspection_url set: it asks oauth about tokens.
    "auth": _may(_OTHERS, _LOG_WRITTEN_BY_FEW, {"read-accounts", "write-accounts", "connect-oauth"}),
    # One port of TCP, which no attack is aimed at, and DNS.
    "oauth": _may({"send-udp"}),
    # The port of web servers, which no attack is aimed at, DNS, and its own directory.
    "mta_sts": _may(_LOG_WRITTEN_BY_FEW, {"send-udp", "write-mta-sts"}),
    # Reports go out through cleanup; the attacked instance has smtp_tlsrpt_enable set.
    "tlsrpt": _may(_NET_OWNER, _LOG_WRITTEN_BY_FEW, {"send-udp", "write-tlsrpt"}),
    # --- root parents
    "local": Room(parent=True),
    "imapd.system": Room(parent=True),
    "pop3d.system": Room(parent=True),
    "managesieved.system": Room(parent=True),
}

_SESSION = _may({"truncate-inherited-log"})
_DELIVERER = _may(  # runs a user's commands, and so may do what that user may
    _UNIX,
    {
        "connect-abstract",
        "connect-multipath",
        "connect-tcp",
        "connect-tcp-fast-open",
        "listen-tcp",
        "listen-tcp-unbound",
        "netlink-socket",
        "send-udp",
    },
    {"exec-from-memory", "exec-interpreter", "exec-shell", "fork"},
    {"limit-victim", "renice-victim", "schedule-victim"},
    {"signal-victim", "signal-group", "signal-everyone", "signal-by-descriptor", "signal-by-ownership"},
    {"trace-victim", "read-memory-of-victim", "open-memory-of-victim", "write-memory-of-victim"},
    {"take-descriptor-of-victim", "read-process-environment", "use-io-ring", "use-keyring"},
    {"clone-namespace", "unshare-user"},
    {"list-root", "list-instance", "read-configuration"},
    {"make-symbolic-link", "write-maildrop", "write-outside", "write-shm", "write-tmp"},
)
CHILDREN: dict[str, Room] = {
    # service-child: a child of a root parent.  None has the suite's group, so no private socket is in its reach.
    "local-child": _may(_UNIX),  # the expander
    **dict.fromkeys(("local-deliverer-nobody", "local-deliverer-games"), _DELIVERER),
    "imap-system-child": _SESSION,
    "pop3-system-child": _SESSION,
    "managesieve-system-child": _SESSION,
}

OWNERS_CHILD = _may()
"""A child of `virtual` where mailboxes have owners: nothing of the suite or of another owner, not even the log."""

SINCE_ABI = {"truncate-held-message": 3, "connect-tcp": 4, "connect-abstract": 6}
"""What nothing but Landlock denies, and only since this ABI (landlock(7)); all else holds on older kernels too."""

# A client that asks nobody, and whose servers have no UNIX sockets.
SERVICE_ROOMS = {"smtp-alone": _may(_SMTP_CLIENT)}
"""Services that differ from others of their program."""


def room_of(service: str, command: str) -> Room | None:
    """The room of a service, None where the table has none."""
    return SERVICE_ROOMS.get(service, ROOMS.get(command))


BY_USER = frozenset(
    {
        # What only the difference between users denies: nothing in an instance that runs wholly as one user.
        *(
            f"connect-{name}"
            for name in ("cleanup", "cleanup-virtual", "bounce", "virtual", "local", "smtp", "relay", "lmtp")
        ),
        *(f"connect-{name}" for name in ("lookup", "auth", "oauth", "anvil", "milter", "mta_sts")),
        *(f"connect-{name}" for name in ("quota", "reputation", "tlsrpt", "verify", "probe", "probe-lmtp")),
        *(f"connect-{name}" for name in ("imap", "imap-system", "pop3", "pop3-system", "managesieve")),
        "connect-managesieve-system",
        "chmod-held-message",
        "chmod-queue",
        "touch-deferred-message",
        "learn-alias-value",
    }
)
