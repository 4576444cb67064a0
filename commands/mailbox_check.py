"""`pillarbox mailbox verify` and `repair`: damage told, and mended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Final

from pillarbox.commands.mailbox_places import Place, Unusable, owner_of
from pillarbox.commands.mailbox_progress import Bar
from pillarbox.commands.options import printable
from pillarbox.lib.store.finding import Finding
from pillarbox.lib.store.interface import Mailbox, MessageGone, Store, StoreError
from pillarbox.lib.store.keeping import RESERVE

FINDINGS: Final = 1000
"""Told one by one; of more only the number."""


def look_after(place: Place, *, mend: bool, as_json: bool, restored: bool = False) -> int:
    """Tell what is wrong with a store, mended or not; gives the exit status.

    `restored`: it was put back from a backup, and nobody can see from its files which UIDs clients know.
    """
    if place.path and not os.path.lexists(place.path):
        raise Unusable(f"{place.path}: there is no mail")
    bar = Bar()
    told: list[Finding] = []
    count = left = 0
    mailboxes: dict[str, int] = {}
    with owner_of(place.path):
        store = place.open()
        try:
            for finding in _findings(place, store, bar, mailboxes, mend, restored):
                count += 1
                left += not (finding.mended or finding.harmless)
                if count <= FINDINGS:
                    told.append(finding)
        finally:
            bar.clear()
            store.close()
    if as_json:
        print(json.dumps({"mailboxes": mailboxes, "found": count, "left": left, "findings": list(map(asdict, told))}))
    else:
        for finding in told:
            state = "mended" if finding.mended else "harmless" if finding.harmless else "damage"
            print(f"{printable(finding.mailbox or 'account')}: {state}: {printable(finding.what)}")
        if count > FINDINGS:
            print(f"... and {count - FINDINGS} more")
        messages = sum(mailboxes.values())
        print(f"{len(mailboxes)} mailboxes, {messages} messages read; {count} found, {left} left")
    return os.EX_DATAERR if left else os.EX_OK


def _findings(
    place: Place, store: Store, bar: Bar, mailboxes: dict[str, int], mend: bool, restored: bool
) -> Iterator[Finding]:
    untouched = set()
    for finding in store.check(mend=mend):
        if finding.untouched:
            untouched.add(finding.mailbox)
        yield finding
    for entry in store.list():
        if not entry.selectable or entry.name in untouched:
            continue
        try:
            if restored:
                store.leave_out_uids(entry.name, RESERVE)
                yield Finding(entry.name, f"{RESERVE} UIDs are left out, which may have been given", mended=True)
            with store.open(entry.name, read_only=not mend) as mailbox:
                mailboxes[entry.name] = len(mailbox.messages)
                yield from _messages(entry.name, mailbox, partial(bar.show, entry.name))
        except StoreError as error:
            yield Finding(entry.name, f"cannot be opened: {error}")


def _messages(name: str, mailbox: Mailbox, show: partial[None]) -> Iterator[Finding]:
    """Every message read to its end."""
    octets = 0
    total = len(mailbox.messages)
    for done, uid in enumerate(mailbox.messages.uids, 1):
        try:
            claimed = mailbox.size(uid)
            with mailbox.read(uid) as content:
                size = sum(map(len, content.chunks()))
        except MessageGone:
            continue
        except (StoreError, OSError) as error:
            yield Finding(name, f"UID {uid}: {error}")
            continue
        if size != claimed:
            yield Finding(name, f"UID {uid} has {size} octets, not {claimed}")
        octets += size
        show(done, total, octets)
