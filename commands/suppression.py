"""`pillarbox suppression`: the addresses that get no mail from here.

    pillarbox suppression list
    pillarbox suppression add ADDRESS [REASON...]
    pillarbox suppression remove ADDRESS
    pillarbox suppression export

Mail for an address on the list goes back to its sender untried, with the reason.  Addresses get there by `add`, which
holds until `remove`, and by themselves where suppression_bounce_limit says so, which expires (suppression_lifetime).
`export` writes the list as a table for suppression_maps (after postmap) or another machine.
The list is applied where suppression_enable is yes.
For the superuser or the owner of the queue.
Ends with 0 or a sysexits(3) code: 64 usage, 65 no address, 67 the address is not on the list, 75 the mail system does
not run, 77 no permission.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence

from pillarbox.commands.owner_only import owner_only, problem
from pillarbox.lib.address.address import split_address
from pillarbox.lib.clients.suppression import ADDRESS_LIMIT, Entry, SuppressionClient, normalized
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.delivery import SUPPRESSION_ENABLE

USAGE = "usage: pillarbox suppression list | add ADDRESS [REASON...] | remove ADDRESS | export"
PROGRAM = "pillarbox suppression"
UNSAID = "suppressed by the administrator"


def main(argv: Sequence[str], config: Config) -> int:
    """Run `pillarbox suppression` with the words after `suppression`; gives the exit status."""
    verb = _VERBS.get(argv[0]) if argv else None
    if verb is None or not verb[1] <= len(argv) - 1 <= verb[2]:
        print(USAGE, file=sys.stderr)
        return os.EX_USAGE
    return owner_only(PROGRAM, config, lambda: verb[0](config, *argv[1:]))


def _list(config: Config) -> int:
    for entry in SuppressionClient(config).entries():
        print(_line(entry))
    _remind(config)
    return os.EX_OK


def _line(entry: Entry) -> str:
    how = "by hand" if entry.manual else f"learnt, until {_day(entry.expires)}"
    return f"{entry.address}: since {_day(entry.since)} ({how}): {entry.reason}"


def _day(when: int) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(when))


def _remind(config: Config) -> None:
    if not config[SUPPRESSION_ENABLE]:
        print(f"{PROGRAM}: {SUPPRESSION_ENABLE.name} is no: the list is kept, but not applied", file=sys.stderr)


def _add(config: Config, address: str, *words: str) -> int:
    local, domain = split_address(address)
    if not local or not domain or len(address) > ADDRESS_LIMIT or not address.isprintable() or " " in address:
        return problem(PROGRAM, f'"{address}" is no address USER@DOMAIN', os.EX_DATAERR)
    if local.lower() == "postmaster":
        return problem(PROGRAM, "mail for postmaster is always delivered", os.EX_DATAERR)
    reason = " ".join(" ".join(words).split()) or UNSAID
    SuppressionClient(config).add(address, reason)
    print(f"{normalized(address)} gets no mail from here any more")
    _remind(config)
    return os.EX_OK


def _remove(config: Config, address: str) -> int:
    if not SuppressionClient(config).remove(address):
        return problem(PROGRAM, f"{normalized(address)} is not on the list", os.EX_NOUSER)
    print(f"{normalized(address)} gets mail again")
    return os.EX_OK


def _export(config: Config) -> int:
    for entry in SuppressionClient(config).entries():
        print(f"{entry.address} {entry.reason}")
    return os.EX_OK


_VERBS: dict[str, tuple[Callable[..., int], int, int]] = {
    "list": (_list, 0, 0),
    "add": (_add, 1, 100),
    "remove": (_remove, 1, 1),
    "export": (_export, 0, 0),
}
"""The function of each verb, and how few and how many words follow it."""
