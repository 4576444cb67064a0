"""`pillarbox mailbox`: move mail between stores and files, look for damage and mend it.

    pillarbox mailbox export STORE DIR [--format maildir|mbox|eml] [--mailbox NAME]... [--journal FILE] [--json]
    pillarbox mailbox import STORE PATH [--format maildir|mbox|mboxo|mboxrd|mboxcl|mboxcl2|eml] [--into NAME]
                             [--mailbox NAME]... [--journal FILE] [--json]
    pillarbox mailbox convert STORE STORE [--mailbox NAME]... [--journal FILE] [--json]
    pillarbox mailbox convert @DOMAIN LOCATION [--mailbox NAME]... [--journal DIR] [--json]
    pillarbox mailbox verify STORE [--json]
    pillarbox mailbox repair STORE [--restored] [--json]

STORE is a hosted account (ann@example.com) or a location (maildir:/path, mbox:/path, sqlite:/path ...).
`export`, `import` and `convert` copy: the source stays as it is.  They take flags, keywords, dates, the names of
mailboxes, subscriptions, annotations and access lists along as far as the target can hold them.  A mailbox that is not
there yet, or is empty, becomes the same to its clients: UIDVALIDITY, UIDs, MAILBOXID and POP3 unique-ids stay, and
modification sequences go on above those of the source.  Where there are messages the others are added under new UIDs,
and that is told.
With `@DOMAIN` all accounts of the domain are converted; in LOCATION stand %u, %n, %d and %h as in `mail_location`.
What was done is written to a journal beside the target (PATH.pillarbox-journal unless --journal says otherwise): the
same command goes on where it was stopped or killed, stores nothing twice, and later takes what has come since.
`import` finds out by itself what PATH holds, and follows no symbolic links in it; `--into` puts INBOX of it into
another mailbox, and the rest below that, under new UIDs.  `mboxo` and the like say how lines of mbox files are quoted.
`verify` reads every message and all notes beside the mailboxes, and changes no more than a client that looks at them.
`repair` mends what it can without changing a UID; no session should have the account open meanwhile.  `--restored` says
that the store was put back from a backup: UIDs that may have been given since that was made are given to nobody.
Progress is a bar where the standard error is a terminal; `--json` prints one object at the end.
Ends with 0 or a sysexits(3) code: 64 usage, 65 messages that cannot be read or damage that is left, 66 no such file,
67 no such account, 75 the target is full or a mailbox is busy (run it again then), 77 no permission, 130 interrupted.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

from pillarbox.commands.accounts import UsageError, parse_words, run_command
from pillarbox.commands.mailbox_check import look_after
from pillarbox.commands.mailbox_eml_source import EmlSource
from pillarbox.commands.mailbox_journal import ForeignJournal, Journal
from pillarbox.commands.mailbox_maildir_source import MaildirSource
from pillarbox.commands.mailbox_mbox_makes import MAKES
from pillarbox.commands.mailbox_mbox_source import MboxSource
from pillarbox.commands.mailbox_message import Source, Target
from pillarbox.commands.mailbox_places import FORMATS, Place, Unusable, format_of, named_store, owner_of, targets_of
from pillarbox.commands.mailbox_progress import Bar
from pillarbox.commands.mailbox_sources import StoreSource
from pillarbox.commands.mailbox_targets import EmlTarget, MboxTarget, StoreTarget
from pillarbox.commands.mailbox_transfer import Moved, Stopped, Transfer
from pillarbox.commands.options import printable
from pillarbox.lib.config import Config
from pillarbox.lib.store.interface import MailboxBusy, OverQuota, StoreError

USAGE: Final = (
    "usage: pillarbox mailbox export STORE DIR [--format maildir|mbox|eml] [--mailbox NAME]... [--journal FILE]\n"
    "       pillarbox mailbox import STORE PATH [--format maildir|mbox|mboxo|mboxrd|mboxcl|mboxcl2|eml] [--into NAME]\n"
    "                                [--mailbox NAME]... [--journal FILE]\n"
    "       pillarbox mailbox convert STORE STORE | @DOMAIN LOCATION [--mailbox NAME]... [--journal FILE]\n"
    "       pillarbox mailbox verify STORE | repair STORE [--restored]\n"
    "       each with --json; STORE is an account (ann@example.com) or a location (maildir:/path)"
)
PROGRAM: Final = "pillarbox mailbox"
JOURNAL: Final = ".pillarbox-journal"
_INTERRUPTED: Final = 130
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(argv: Sequence[str], config: Config | None) -> int:
    """Run `pillarbox mailbox` with the words after `mailbox`; gives the exit status.

    Without a configuration accounts cannot be named.
    """
    status = os.EX_OK
    if "--help" in argv or "-h" in argv:
        print(__doc__.rstrip())
        return os.EX_OK

    def work() -> None:
        nonlocal status
        words, options = parse_words(list(argv), _OPTIONS)
        if not words or words[0] not in _VERBS:
            raise UsageError
        count, allowed = _VERBS[words[0]]
        if len(words) - 1 != count or not set(options) <= {*allowed, "--json"}:
            raise UsageError
        formats = (*FORMATS, *MAKES) if words[0] == "import" else FORMATS
        if options.get("--format", ["eml"])[-1] not in formats:
            raise UsageError("--format is one of " + ", ".join(formats))
        status = _run(config, words[0], words[1:], options)

    failed = run_command("mailbox", USAGE, config, work)
    return failed or status


def _run(config: Config | None, verb: str, words: list[str], options: dict[str, list[str]]) -> int:
    try:
        if verb in ("verify", "repair"):
            place = named_store(config, words[0])
            return look_after(
                place, mend=verb == "repair", as_json="--json" in options, restored="--restored" in options
            )
        if verb == "convert" and words[0].startswith("@"):
            return _domain(config, words[0][1:], words[1], options)
        return _transfer(config, verb, words, options)
    except (Unusable, ForeignJournal) as error:
        return _problem(str(error), os.EX_NOINPUT)
    except MailboxBusy as error:
        return _problem(str(error), os.EX_TEMPFAIL)
    except StoreError as error:
        return _problem(str(error), os.EX_UNAVAILABLE)


def _problem(text: str, status: int) -> int:
    print(f"{PROGRAM}: {printable(text)}", file=sys.stderr)
    return status


def _domain(config: Config | None, domain: str, template: str, options: dict[str, list[str]]) -> int:
    """Convert every account of a domain; what goes wrong with one does not keep the others from it."""
    journals = options.get("--journal", [""])[-1]
    worst = os.EX_OK
    for address, location in targets_of(config, domain, template):
        if "--json" not in options:
            print(f"{address}:")
        place = named_store(config, address)
        if place.path and not os.path.lexists(place.path):
            continue  # nobody has used it yet
        own = {**options, "--journal": [os.path.join(journals, address)]} if journals else options
        status = _run(config, "convert", [address, location], own)
        if status == _INTERRUPTED:
            return status
        worst = worst or status
    return worst


def _transfer(config: Config | None, verb: str, words: list[str], options: dict[str, list[str]]) -> int:
    first = named_store(config, words[0])
    chosen = options.get("--format", [""])[-1]
    source: Source
    target: Target
    if verb == "convert":
        second = named_store(config, words[1])
        if first.location == second.location:
            raise Unusable("source and target are the same")
        source, reads, target, writes = _opened_source(first), first.path, _opened_target(second), second.path
    elif verb == "export":
        path = os.path.abspath(words[1])
        source, reads, target, writes = _opened_source(first), first.path, _export_target(path, chosen), path
    else:
        path = os.path.abspath(words[1])
        source, reads, target, writes = _import_source(path, chosen), path, _opened_target(first), first.path
    place = options.get("--journal", [writes + JOURNAL if writes else ""])[-1]
    if not place:
        raise UsageError("the target has no files beside which the journal could lie; give --journal FILE")
    bar = Bar()
    with owner_of(writes):
        os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
        journal = Journal(place, source.name, target.name)
    transfer = Transfer(
        source,
        target,
        journal,
        partial(owner_of, reads),
        partial(owner_of, writes),
        bar.show,
        options.get("--into", [""])[-1],
    )
    why, status = "", os.EX_OK
    try:
        transfer.run(options.get("--mailbox", ()))
    except (Stopped, OverQuota, MailboxBusy) as error:
        why, status = str(error), os.EX_TEMPFAIL
    except StoreError as error:
        why, status = str(error), os.EX_UNAVAILABLE
    except OSError as error:
        why, status = _said(error), os.EX_TEMPFAIL if error.errno in _FULL else os.EX_IOERR
    except KeyboardInterrupt:
        why, status = "interrupted", _INTERRUPTED
    finally:
        bar.clear()
        journal.close()
    if not status and any(moved.unreadable for moved in transfer.moved):
        status = os.EX_DATAERR
    for text in source.passed_over():
        _problem(text, 0)
    _report(transfer.moved, why, place, as_json="--json" in options)
    return status


def _said(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)


def _opened_source(place: Place) -> Source:
    if place.path and not os.path.lexists(place.path):
        raise Unusable(f"{place.path}: there is no mail")
    with owner_of(place.path):
        return StoreSource(place.open())


def _opened_target(place: Place) -> Target:
    with owner_of(place.path):
        return StoreTarget(place.open())


def _export_target(path: str, chosen: str) -> Target:
    if chosen == "eml":
        return EmlTarget(path)
    return MboxTarget(path) if chosen == "mbox" else _opened_target(Place(f"maildir:{path}"))


def _import_source(path: str, chosen: str) -> Source:
    kind = chosen or format_of(path)
    with owner_of(path):
        if kind == "eml":
            return EmlSource(path)
        if kind == "mbox" or kind in MAKES:
            return MboxSource(path, kind if kind in MAKES else "")
        return MaildirSource(path)


def _report(moved: list[Moved], why: str, journal: str, *, as_json: bool) -> None:
    stored, unreadable = sum(each.messages for each in moved), sum(each.unreadable for each in moved)
    if as_json:
        mailboxes = [
            {
                "mailbox": each.mailbox,
                "target": each.target,
                "stored": each.messages,
                "stored_before": each.before,
                "renumbered": each.renumbered,
                "unreadable": each.unreadable,
                "troubles": each.troubles,
            }
            for each in moved
        ]
        print(json.dumps({"mailboxes": mailboxes, "stored": stored, "unreadable": unreadable, "stopped": why}))
    else:
        for each in moved:
            name = each.mailbox if each.mailbox == each.target else f"{each.mailbox} as {each.target}"
            before = f", {each.before} before" if each.before else ""
            new = f", {each.renumbered} under new UIDs" if each.renumbered else ""
            print(f"{printable(name)}: {_many(each.messages)} stored{new}{before}")
    for each in moved:
        for trouble in each.troubles:
            _problem(trouble, 0)
        if each.unreadable > len(each.troubles):
            _problem(f"{each.mailbox}: {_many(each.unreadable - len(each.troubles))} more cannot be read", 0)
    if why:
        _problem(f"{why}; {_many(stored)} stored in this run; the same command goes on there ({journal})", 0)


def _many(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"


_OPTIONS: Final = {
    "--format": True,
    "--mailbox": True,
    "--journal": True,
    "--into": True,
    "--json": False,
    "--restored": False,
}
_VERBS: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    "export": (2, ("--format", "--mailbox", "--journal")),
    "import": (2, ("--format", "--mailbox", "--journal", "--into")),
    "convert": (2, ("--mailbox", "--journal")),
    "verify": (1, ()),
    "repair": (1, ("--restored",)),
}
"""How many words follow each verb, and which options it has."""
