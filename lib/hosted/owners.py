"""Whose a hosted mailbox is: the user and group with whose rights it is delivered to and read.

Usually all belong to `vmail_owner`.  Where `virtual_uid_maps` and `virtual_gid_maps` say otherwise (virtual(8) of
Postfix), root parents find the owner of each address here, for delivery and for mail sessions alike, and start a
process with exactly these rights.  What the tables do not say, or may not, makes mail wait.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, NamedTuple

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters.general import (
    AUTH_OWNER,
    LOOKUP_OWNER,
    MAIL_OWNER,
    NET_OWNER,
    RECIPIENT_DELIMITER,
    VMAIL_OWNER,
)
from pillarbox.lib.config.parameters.virtual import VIRTUAL_GID_MAPS, VIRTUAL_MINIMUM_UID, VIRTUAL_UID_MAPS
from pillarbox.lib.hosted.place import UnusableAddress, map_keys, split_address
from pillarbox.lib.hosted.search import Question, Search
from pillarbox.lib.log import log
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.system.privileges import HIGHEST_ID, PrivilegeError, resolve_identity
from pillarbox.lib.tables.errors import LookupFailed

_MISTAKE: Final = "mail system configuration error"
_SUITE: Final = (MAIL_OWNER, NET_OWNER, LOOKUP_OWNER, AUTH_OWNER)
"""Users whose rights no mailbox has: what delivers to it could reach the queue, or the accounts."""


class MailboxOwner(NamedTuple):
    """Ids of a user and a group, never root's."""

    uid: int
    gid: int


def usual_owner(config: Config) -> MailboxOwner:
    """`vmail_owner`.  Raises PrivilegeError where it is no user."""
    identity = resolve_identity(config[VMAIL_OWNER])
    return MailboxOwner(identity.uid, identity.gid)


def owners_differ(config: Config) -> bool:
    """Whether mailboxes may belong to others than `vmail_owner`."""
    uids, gids = config[VIRTUAL_UID_MAPS], config[VIRTUAL_GID_MAPS]
    if not uids and not gids:
        return False
    try:
        usual = usual_owner(config)
    except PrivilegeError:
        return True
    said = uids in ((), (f"static:{usual.uid}",)) and gids in ((), (f"static:{usual.gid}",))
    return not said or usual.uid < config[VIRTUAL_MINIMUM_UID]


class Owners:
    """The owners of one configuration."""

    def __init__(self, config: Config) -> None:
        """Raises PrivilegeError."""
        self._usual = usual_owner(config)
        self._uids, self._gids = bool(config[VIRTUAL_UID_MAPS]), bool(config[VIRTUAL_GID_MAPS])
        self._minimum = config[VIRTUAL_MINIMUM_UID]
        suite = []
        for parameter in _SUITE:
            with suppress(PrivilegeError):
                suite.append(resolve_identity(config[parameter]))
        self._suite_uids = frozenset(each.uid for each in suite) - {self._usual.uid}
        self._suite_gids = frozenset(each.gid for each in suite) - {self._usual.gid}
        self._delimiters = config[RECIPIENT_DELIMITER]

    def search(self, address: str) -> Search[MailboxOwner]:
        """Whose the mailbox of `address` is.  Raises DeliveryFailure, with Postfix's text for what is misconfigured."""
        try:
            keys = map_keys(address, split_address(address, self._delimiters))
        except UnusableAddress as error:
            raise DeliveryFailure("5.1.3", f"bad mailbox address: {error}") from error
        uid, gid = self._usual
        if self._uids:
            uid = yield from self._number(VIRTUAL_UID_MAPS, address, keys, "uid", self._minimum, self._suite_uids)
        if self._gids:
            gid = yield from self._number(VIRTUAL_GID_MAPS, address, keys, "gid", 1, self._suite_gids)
        if uid < self._minimum or gid < 1:
            raise _mistake(f"recipient {address}: vmail_owner ({uid}:{gid}) must not own mailboxes")
        return MailboxOwner(uid, gid)

    def _number(
        self,
        parameter: Parameter[tuple[str, ...]],
        address: str,
        keys: tuple[str, ...],
        what: str,
        least: int,
        forbidden: frozenset[int],
    ) -> Search[int]:
        value = None
        try:
            for key in keys:
                value = yield Question(parameter.name, key)
                if value is not None:
                    break
        except LookupFailed as error:
            raise DeliveryFailure("4.3.0", f"mailbox lookup failure: {error}") from error
        if value is None:
            raise _mistake(f"recipient {address}: not found in {parameter.name}")
        text = value.strip()
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else -1
        if not least <= number <= HIGHEST_ID or number in forbidden:
            raise _mistake(f"recipient {address}: bad {what} {value:.100} in {parameter.name}")
        return number


def _mistake(text: str) -> DeliveryFailure:
    log.warning(text)
    return DeliveryFailure("4.3.5", _MISTAKE)
