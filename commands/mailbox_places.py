"""What people name on the command line: an account or a store, and files outside of any store.

A command of root's works in each place with the rights of whoever owns it, so that nothing is left there that its
owner could not read or change.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from pillarbox.commands.accounts import open_accounts
from pillarbox.commands.mailbox_names import is_mbox
from pillarbox.lib.accounts import AccountNotFound, mail_location, normalize_address
from pillarbox.lib.address import normalize_domain
from pillarbox.lib.config import Config
from pillarbox.lib.store import OPENERS, open_store
from pillarbox.lib.store.interface import Store
from pillarbox.lib.store.quota import FROM_FILE, Quota, QuotaPolicy

_MOST_LINKS: Final = 40
"""As the kernel follows."""
FORMATS: Final = ("maildir", "mbox", "eml")


class Unusable(Exception):
    """What was named cannot be used; the text addresses the user."""


@dataclass(frozen=True, slots=True)
class Place:
    """A store that was named."""

    location: str
    quota: Quota = FROM_FILE

    @property
    def path(self) -> str:
        """Where its files lie, "" where it has none of its own."""
        place = self.location.partition(":")[2]
        return place.partition(":")[0].rstrip("/") if place.startswith("/") else ""

    def open(self) -> Store:
        """The store.  Raises StoreUnavailable."""
        return open_store(self.location, self.quota)


def named_store(config: Config | None, word: str) -> Place:
    """The store of an account (`ann@example.com`), or at a location (`maildir:/path`).

    Raises Unusable, AccountsError.
    """
    kind, colon, place = word.partition(":")
    if colon and kind in OPENERS:
        if kind in FORMATS and not place.startswith("/"):
            return Place(f"{kind}:{os.path.abspath(place)}")
        return Place(word)
    if "@" not in word:
        known = ", ".join(f"{each}:" for each in OPENERS)
        raise Unusable(f'"{word}" is neither an address nor a location; kinds of locations are {known}')
    if config is None:
        raise Unusable(f'no configuration says where the mail of "{word}" lies; give -c DIR')
    address = normalize_address(word)
    with closing(open_accounts(config)) as accounts:
        row = accounts.lookup(address)
    if row is None:
        raise AccountNotFound(f"{address} has no account")
    return Place(mail_location(config, address, row.location), QuotaPolicy(config).session(row.quota, hosted=True))


def targets_of(config: Config | None, domain: str, template: str) -> list[tuple[str, str]]:
    """The accounts of a domain, each with the location that the template gives for it.

    Raises Unusable, AccountsError.
    """
    if config is None:
        raise Unusable(f'no configuration says which accounts "{domain}" has; give -c DIR')
    if template.partition(":")[0] not in OPENERS:
        known = ", ".join(f"{each}:" for each in OPENERS)
        raise Unusable(f'"{template}" is no location; kinds of locations are {known}')
    with closing(open_accounts(config)) as accounts:
        addresses = accounts.addresses(normalize_domain(domain))
    if not addresses:
        raise Unusable(f'"{domain}" has no accounts')
    targets = [(address, mail_location(config, address, template)) for address in addresses]
    if len({location for _, location in targets}) < len(targets):
        raise Unusable(f'"{template}" would be the same for several accounts: it needs %u, %n or %h')
    return targets


def format_of(path: str) -> str:
    """What lies at a path of the file system.  Raises Unusable."""
    if os.path.isdir(path):
        if os.path.isdir(f"{path}/cur"):
            return "maildir"
        entries = [entry for entry in os.scandir(path) if not entry.name.startswith(".")]
        files = [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]
        if any(is_mbox(file) and os.path.getsize(file) for file in files):
            return "mbox"
        if any(file.lower().endswith(".eml") for file in files) or any(entry.is_dir() for entry in entries):
            return "eml"
        raise Unusable(f"{path} holds neither a Maildir nor mbox files nor .eml files; say which with --format")
    if not os.path.exists(path):
        raise Unusable(f"{path}: there is no such file or directory")
    return "mbox" if is_mbox(os.path.realpath(path)) else "eml"


def _decides(path: str) -> os.stat_result:
    """What says with whose rights a path is used: the first symbolic link on the way that is not root's, for who made
    it may not be allowed to reach what it leads to; else the end of the way, as far as there is one.  Raises OSError.
    """
    way, links = os.path.abspath(path).split("/")[:0:-1], 0
    place, about = "/", os.stat("/")
    while way:
        following = os.path.join(place, way.pop())
        try:
            step = os.lstat(following)
        except (FileNotFoundError, NotADirectoryError):
            return about
        if stat.S_ISLNK(step.st_mode):
            links += 1
            if step.st_uid or links > _MOST_LINKS:
                return step
            way += os.path.normpath(os.path.join(place, os.readlink(following))).split("/")[:0:-1]
            place, about = "/", os.stat("/")
        else:
            place, about = following, step
    return about


@contextmanager
def owner_of(path: str) -> Iterator[None]:
    """Be whoever owns the path, or where there is nothing yet, the directory in which it will be made; where a symbolic
    link of somebody's is on the way, be that one."""
    if os.geteuid() or not path:
        yield
        return
    about = _decides(path)
    if about.st_uid == 0:
        yield
        return
    # Only the effective ids, by which files are reached and made; root is taken up again behind it.
    groups = os.getgroups()
    try:
        name = pwd.getpwuid(about.st_uid).pw_name
        wanted = os.getgrouplist(name, about.st_gid)
    except KeyError:
        wanted = [about.st_gid]
    os.setgroups(wanted)
    os.setegid(about.st_gid)
    os.seteuid(about.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
