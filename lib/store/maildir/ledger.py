"""The account of an account: what its Maildir++ tree holds, of how much, and the same of its whole domain.

Deliveries and mail sessions ask it for room before they store, and tell it what came and went.  The mailbox's count is
its `maildirsize` file; a domain with a quota has a file of the same form, `.domainsize` beside its mailboxes, where
no mailbox can be called so.  Folders that a rule ignores are in neither.

Does nothing, at the price of one failed open, where there is no quota.
"""

from __future__ import annotations

import os
from typing import Final

from pillarbox.lib.config.quota import NO_LIMITS
from pillarbox.lib.store.interface import INBOX, QuotaRoot
from pillarbox.lib.store.maildir import folders
from pillarbox.lib.store.maildir.filename import sizes
from pillarbox.lib.store.maildir.maildirsize import NAME, Record, SizeFile, read_record
from pillarbox.lib.store.quota import DOMAIN_ROOT, FROM_FILE, MAILBOX_ROOT, Quota, Usage

DOMAIN_FILE: Final = ".domainsize"


class Ledger:
    """That of the account whose Maildir is `root`.  Every method raises OSError."""

    def __init__(self, root: str, quota: Quota = FROM_FILE) -> None:
        self.quota = quota
        self._root = root
        # A domain's quota needs the mailbox's count, whether the mailbox has a limit or not.
        wanted = NO_LIMITS if quota.limits is None and quota.domain is not None else quota.limits
        self._own = SizeFile(f"{root}/{NAME}", f"{root}/tmp", wanted, self.count, self._newest)
        self._domain: SizeFile | None = None
        if quota.hosted:
            above = os.path.dirname(root)
            self._domain = SizeFile(
                f"{above}/{DOMAIN_FILE}", f"{root}/tmp", quota.domain, lambda: count_domain(above), lambda: 0
            )

    def used(self) -> Record | None:
        """The mailbox's record; None where there is no quota."""
        return self._own.read()

    def lacks(self, folder: str, size: int, count: int = 1) -> str:
        """Why there is no room for so much in the mailbox called `folder`; "" where there is."""
        rule = self.quota.rule(folder) if self.quota.rules else None
        if rule is not None and rule.ignore:
            return ""
        for file, what in ((self._own, "mailbox"), (self._domain, "domain")):
            record = file.read() if file is not None else None
            if record is None or not record.limits:
                continue
            limits = rule.extended(record.limits) if rule is not None else record.limits
            if record.usage.plus(size, count).exceeds(limits):
                return f"the quota of the {what} is used up"
        return ""

    def roots(self) -> tuple[QuotaRoot, ...]:
        """The limits that hold, and what is used of them."""
        roots = []
        for file, name in ((self._own, MAILBOX_ROOT), (self._domain, DOMAIN_ROOT)):
            record = file.read() if file is not None else None
            if record is not None and record.limits:
                (size, messages), limits = record.usage, record.limits
                roots.append(QuotaRoot(name, size, limits.size, messages, limits.messages))
        return tuple(roots)

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
        return self.quota.limits is not None or self.quota.domain is not None or os.path.lexists(f"{self._root}/{NAME}")

    def recount(self) -> None:
        """Count anew after a change of whole folders."""
        if not self.active():
            return
        before = self._own.read()
        after = self._own.recount(before.limits if before is not None else NO_LIMITS)
        if self._domain is not None and before is not None:
            self._domain.add(after.usage.size - before.usage.size, after.usage.messages - before.usage.messages)

    def count(self) -> Usage:
        """What lies in the mailboxes that count."""
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


def count_domain(directory: str) -> Usage:
    """What all mailboxes of a domain hold, by their own counts where they have one."""
    usage = Usage()
    with os.scandir(directory) as entries:
        roots = [entry.path for entry in entries if entry.name[0] != "." and entry.is_dir(follow_symlinks=False)]
    for root in roots:
        found = read_record(f"{root}/{NAME}")
        record = found[0] if found is not None else None
        usage = usage.plus(*(record.usage if record is not None else Ledger(root).count()))
    return usage
