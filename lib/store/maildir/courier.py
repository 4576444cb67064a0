"""What a Courier server has left in a Maildir: UIDs in `courierimapuiddb`, POP3's unique-ids in `courierpop3dsizelist`.

    courierimapuiddb:      1 UIDVALIDITY NEXT        and lines    UID FILE
    courierpop3dsizelist:  /2 NEXT UIDVALIDITY       and lines    FILE SIZE UID:UIDVALIDITY      (told as UID%u-%v)
                           /1 NEXT                   and lines    FILE SIZE UID                  (told as UID%u)

Read where there is no `dovecot-uidlist` yet, which then takes them up.
"""

from __future__ import annotations

import os
import re
from typing import Final

from pillarbox.lib.store.interface import StoreUnavailable
from pillarbox.lib.store.maildir import uidlist
from pillarbox.lib.system.files import open_regular

UIDS: Final = "courierimapuiddb"
UIDLS: Final = "courierpop3dsizelist"
_LIMIT: Final = 1 << 28
_HEADER = re.compile(r"/([12]) [0-9]{1,20}(?: [0-9]{1,20})?\Z")
_LINE = re.compile(r"(.+) [0-9]{1,20} ([0-9]{1,20})(?::([0-9]{1,20}))?\Z")


def adopted(directory: str, new: uidlist.UidList) -> uidlist.UidList:
    """The list that they make together, to be written; `new` where there is nothing.  Raises StoreUnavailable."""
    data = _content(f"{directory}/{UIDS}")
    found = uidlist.parse(data) if data.startswith(b"1 ") else None
    uidls = pop3_uidls(_content(f"{directory}/{UIDLS}"))
    if found is None:
        found = new
    found.guid = new.guid
    for base, uidl in uidls.items():  # in the order in which Courier numbered them
        if base in found.uids:
            found.extensions[found.uids[base]] = f"P{uidl}"
        else:
            found.add(base, f"P{uidl}")
    return found


def pop3_uidls(data: bytes) -> dict[str, str]:
    """Unique-ids by base name of the file, in Courier's order."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if not _HEADER.match(lines[0]):
        return {}
    found: list[tuple[int, str, str]] = []
    for line in lines[1:]:
        if match := _LINE.match(line):
            uid, validity = int(match[2]), int(match[3] or 0)
            base = match[1].partition(":")[0]
            if uid and "/" not in base:
                found.append((uid, base, f"UID{uid}-{validity}" if validity else f"UID{uid}"))
    return {base: uidl for _, base, uidl in sorted(found)}


def _content(path: str) -> bytes:
    try:
        with open(open_regular(path), "rb") as file:
            return file.read(_LIMIT)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreUnavailable(f"cannot read {path}: {os.strerror(error.errno or 0)}") from error
