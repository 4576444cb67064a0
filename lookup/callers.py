"""Who may ask what: callers that parse what the Internet sends get the answers that they need, and no others.

Callers are told apart by the user id that the kernel reports of their end of the socket.  All programs of `net_owner`
have one: what the SMTP client needs (its policy tables) smtpd may ask about too.  They are never told what an alias
stands for, except, where `smtpd_expn_networks` is set, the addresses that EXPN would show (`members`).  What names mail
bears outside (`generic`, `forwarded`) they may ask where that is configured.
Whoever is not in the table, root and `mail_owner` among them, may ask everything; and so may all where the whole suite
runs as one user.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters import rewriting, smtpd_extensions, smtpd_screening
from pillarbox.lib.config.parameters.general import AUTH_OWNER, NET_OWNER, VMAIL_OWNER
from pillarbox.lib.config.parameters.lookup import VIRTUAL_MAILBOX_MAPS
from pillarbox.lib.config.parameters.milter import SMTPD_MILTER_MAPS
from pillarbox.lib.ipc import Attributes
from pillarbox.lib.system.privileges import resolve_identity


@dataclass(frozen=True, slots=True)
class Rights:
    """Verbs, and the parameters about whose tables `get` answers."""

    verbs: frozenset[str]
    parameters: frozenset[str] = field(default=frozenset())


def _rights(*verbs: str, tables: tuple[Parameter[tuple[str, ...]], ...] = ()) -> Rights:
    names = frozenset(parameter.name for parameter in tables)
    return Rights(frozenset((*verbs, *(("get",) if names else ()))), names)


NET = _rights(
    *("recipient", "resolve", "access", "owners"),
    tables=(
        smtpd_screening.SMTPD_SCREENING_ACCESS_LIST,
        smtpd_screening.SMTPD_DNSBL_REPLY_MAP,
        smtpd_screening.SMTPD_GREYLIST_CLIENT_EXCEPTIONS,
        smtpd_screening.SMTPD_GREYLIST_SENDER_EXCEPTIONS,
        smtpd_screening.SMTPD_GREYLIST_RECIPIENT_EXCEPTIONS,
        SMTPD_MILTER_MAPS,
    ),
)
"""smtpd and the SMTP client."""

VMAIL = _rights("recipient", tables=(VIRTUAL_MAILBOX_MAPS,))
"""`virtual`."""

AUTH = _rights()
"""It is asked by lookup, never the other way round."""


class Callers:
    """The rights of one configuration, by user id."""

    def __init__(self, config: Config) -> None:
        """Raises PrivilegeError for an owner that is no user."""
        self._rights: dict[int, Rights] = {}
        if os.getuid() != 0:
            return
        net = NET
        views = (config, *map(config.for_service, config.services.values()))
        if any(view[smtpd_extensions.SMTPD_EXPN_NETWORKS] for view in views):
            net = Rights(net.verbs | {"members"}, net.parameters)
        if any(view[rewriting.SMTP_GENERIC_MAPS] for view in (*views, *(view.for_lmtp() for view in views))):
            net = Rights(net.verbs | {"generic"}, net.parameters)
        if config[rewriting.SRS_DOMAIN]:
            net = Rights(net.verbs | {"forwarded"}, net.parameters)
        for owner, rights in ((VMAIL_OWNER, VMAIL), (AUTH_OWNER, AUTH), (NET_OWNER, net)):
            self._rights[resolve_identity(config[owner]).uid] = rights

    def refusal(self, uid: int, request: Attributes) -> str:
        """Why a user may not ask this, "" where he may.  Raises ProtocolError."""
        rights = self._rights.get(uid)
        if rights is None:
            return ""
        verb = request.text("do")
        if verb not in rights.verbs:
            return f'uid {uid} may not ask "{verb[:100]}"'
        if verb == "get" and (name := request.text("parameter")) not in rights.parameters:
            return f'uid {uid} may not ask about "{name[:100]}"'
        return ""
