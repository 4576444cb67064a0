"""The account of an account: what its Maildir++ tree holds, of how much, and the same of its whole domain.

Deliveries and mail sessions ask it for room before they store, and tell it what came and went.  The mailbox's count is
its `maildirsize` file; a domain with a quota has a file beside its mailboxes (`lib.store.domain_file`).  Folders that a
rule ignores are in neither.

Does nothing, at the price of one failed open, where there is no quota.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from pillarbox.lib.config.quota import NO_LIMITS, Limits
from pillarbox.lib.store import patience
from pillarbox.lib.store.domain_file import DomainFile
from pillarbox.lib.store.interface import INBOX, QuotaRoot
from pillarbox.lib.store.maildir import folders
from pillarbox.lib.store.maildir.filename import sizes
from pillarbox.lib.store.maildir.maildirsize import NAME, Record, SizeFile, read_record
from pillarbox.lib.store.quota import DOMAIN_ROOT, FROM_FILE, MAILBOX_ROOT, Quota, Usage, used_up
from pillarbox.lib.store.sql.counting import count_database


class Ledger:
    """That of the account whose Maildir is `root`.  Every method raises OSError."""

    def __init__(self, root: str, quota: Quota = FROM_FILE) -> None:
        self.quota = quota
        self._root = root
        # A domain's quota needs the mailbox's count, whether the mailbox has a limit or not.
        wanted = NO_LIMITS if quota.limits is None and quota.domain else quota.limits
        self._own = SizeFile(f"{root}/{NAME}", f"{root}/tmp", wanted, self.count, self._newest)
        self._domain: DomainFile | None = None
        if quota.hosted:
            above = os.path.dirname(root)
            self._domain = DomainFile(above, quota.domain, lambda: count_domain(above, self.counts))

    def used(self) -> Record | None:
        """The mailbox's record; None where there is no quota."""
        return self._own.read()

    def lacks(self, folder: str, size: int, count: int = 1) -> str:
        """Why there is no room for so much in the mailbox called `folder`; "" where there is."""
        rule = self.quota.rule(folder) if self.quota.rules else None
        if rule is not None and rule.ignore:
            return ""
        for what, limits, used in self._held():
            if used.plus(size, count).exceeds(rule.extended(limits) if rule is not None else limits):
                return used_up("domain" if what == DOMAIN_ROOT else "mailbox")
        return ""

    def roots(self) -> tuple[QuotaRoot, ...]:
        """The limits that hold, and what is used of them."""
        return tuple(
            QuotaRoot(name, used.size, limits.size, used.messages, limits.messages)
            for name, limits, used in self._held()
        )

    def _held(self) -> Iterator[tuple[str, Limits, Usage]]:
        """The limits that hold by the names of their roots, and what is used of them.  Nothing is made for it where
        there is no mailbox yet."""
        if os.path.isdir(f"{self._root}/tmp"):
            own = self._own.read()
            if own is not None and own.limits:
                yield MAILBOX_ROOT, own.limits, own.usage
        elif self.quota.limits:
            yield MAILBOX_ROOT, self.quota.limits, Usage()
        domain = self._domain.read() if self._domain is not None else None
        if domain is not None and domain.limits:
            yield DOMAIN_ROOT, domain.limits, domain.usage

    def give_way(self) -> None:
        """Something is about to go away.  Raises Later to who is in haste and would have to wait to note it."""
        if self._domain is not None:
            self._domain.give_way()

    def add(self, folder: str, size: int, count: int) -> None:
        """Note what came into the mailbox called `folder` or, negative, went from there."""
        if self.counts(folder) and (size or count):
            self._own.add(size, count)
            if self._domain is not None:
                self._domain.add(size, count)

    def counts(self, folder: str) -> bool:
        """Whether what lies in the mailbox of this name counts."""
        rule = self.quota.rule(folder) if self.quota.rules else None
        return rule is None or not rule.ignore

    def active(self) -> bool:
        """Whether there is anything to keep right."""
        if self.quota.limits is not None or self.quota.domain or os.path.lexists(f"{self._root}/{NAME}"):
            return True
        if self._domain is not None and self.quota.domain is not None:
            self._domain.read()  # takes away that of a quota that is no more
        return False

    def recount(self) -> None:
        """Count anew after a change of whole folders."""
        if not self.active():
            return
        before = self._own.read()
        after = self._own.recount(before.limits if before is not None else NO_LIMITS)
        if self._domain is not None and before is not None:
            self._domain.add(after.usage.size - before.usage.size, after.usage.messages - before.usage.messages)

    def count(self) -> Usage:
        """What lies in the mailboxes that count.  Raises Later."""
        patience.give_way()
        usage = Usage()
        for name, directory in self._directories():
            if self.counts(name):
                usage = usage.plus(*count_maildir(directory))
        return usage

    def _directories(self) -> list[tuple[str, str]]:
        names = [INBOX, *folders.list_folders(self._root)]
        return [(name, f"{self._root}/{folders.directory_name(name)}".rstrip("/")) for name in names]

    def _newest(self) -> int:
        """Changes when a message comes or goes anywhere in the tree."""
        newest = 0
        for _, directory in self._directories():
            for place in ("new", "cur"):
                try:
                    newest = max(newest, os.stat(f"{directory}/{place}").st_mtime_ns)
                except FileNotFoundError:
                    pass
        return newest


def count_maildir(directory: str) -> Usage:
    """What lies in one Maildir, by the sizes in the files' names or, where there is none, of the files."""
    size = count = 0
    for place in ("new", "cur"):
        try:
            names = os.listdir(f"{directory}/{place}")
        except (FileNotFoundError, NotADirectoryError):
            continue
        for name in names:
            if name[0] == ".":
                continue
            stored = sizes(name.partition(":")[0])[0]
            if stored < 0:
                try:
                    stored = os.lstat(f"{directory}/{place}/{name}").st_size
                except FileNotFoundError:
                    continue
            size += stored
            count += 1
    return Usage(size, count)


def count_domain(directory: str, counts: Callable[[str], bool] = lambda _: True) -> Usage:
    """What all mailboxes of a domain that lie in files hold, by their own counts where they have one.

    `counts` says whether a folder of this name does.
    """
    usage = Usage()
    with os.scandir(directory) as entries:
        found = [entry for entry in entries if entry.name[0] != "."]
    for entry in found:
        if not entry.is_dir(follow_symlinks=False):
            usage = usage.plus(*count_database(entry.path, counts))
            continue
        sized = read_record(f"{entry.path}/{NAME}")
        record = sized[0] if sized is not None else None
        usage = usage.plus(*(record.usage if record is not None else Ledger(entry.path).count()))
        with os.scandir(entry.path) as inside:
            for each in inside:
                if each.is_file(follow_symlinks=False):
                    usage = usage.plus(*count_database(each.path, counts))
    return usage
