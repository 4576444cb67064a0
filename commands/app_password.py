"""`pillarbox app-password`: further passwords of an account, each for one program of its owner.

    pillarbox app-password add ADDRESS [--name NAME] [--protocol PROTOCOL]...
    pillarbox app-password list ADDRESS
    pillarbox app-password del ADDRESS NAME

`add` makes a random password and prints it, once: only keys derived from it are kept.  It is good for the named
protocols (smtp, imap, pop3, sieve; default: all), with PLAIN, LOGIN and SCRAM-SHA-256.  `del` takes it back at once;
the account's own password and the other app passwords stay.  `list` shows name, protocols, when made and when last used
(to some minutes).  Which protocols the account's own password is for says `pillarbox user protocols`.
Ends with 0 or a sysexits(3) code, as `pillarbox user`.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Sequence

from pillarbox.commands.accounts import UsageError, open_accounts, parse_words, run_command
from pillarbox.lib.accounts import PROTOCOLS, AccountDatabase, AccountNotFound, normalize_address
from pillarbox.lib.config import Config

USAGE = (
    "usage: pillarbox app-password add ADDRESS [--name NAME] [--protocol PROTOCOL]...\n"
    "       pillarbox app-password list ADDRESS | del ADDRESS NAME"
)


def main(argv: Sequence[str], config: Config) -> int:
    """Run `pillarbox app-password` with the words after it; gives the exit status."""

    def work() -> None:
        if not argv or argv[0] not in _VERBS:
            raise UsageError
        words, options = parse_words(list(argv[1:]), {"--name": True, "--protocol": True})
        verb, minimum, maximum = _VERBS[argv[0]]
        if not minimum <= len(words) <= maximum:
            raise UsageError
        if argv[0] == "list" and options:
            raise UsageError("list takes no options")
        if argv[0] == "del" and "--protocol" in options:
            raise UsageError("an app password is deleted for all its protocols")
        with contextlib.closing(open_accounts(config)) as accounts:
            words[0] = normalize_address(words[0])
            if not accounts.exists(words[0]):
                raise AccountNotFound(f"{words[0]} has no account")
            verb(accounts, words, options)

    return run_command("app-password", USAGE, config, work)


Options = dict[str, list[str]]


def _add(accounts: AccountDatabase, words: list[str], options: Options) -> None:
    protocols = [one for value in options.get("--protocol", []) for one in value.replace(",", " ").split()]
    names = options.get("--name")
    name = names[-1] if names is not None else _free_name(accounts, words[0])
    print(accounts.app_passwords.add(words[0], name, protocols if "--protocol" in options else PROTOCOLS))


def _free_name(accounts: AccountDatabase, address: str) -> str:
    taken = {one.name for one in accounts.app_passwords.of(address)}
    return next(name for number in itertools.count(1) if (name := f"app-{number}") not in taken)


def _list(accounts: AccountDatabase, words: list[str], options: Options) -> None:
    for one in accounts.app_passwords.of(words[0]):
        used = f"last used {_when(one.used)} for {one.used_for} from {one.used_from}" if one.used else "never used"
        print(f"{one.name}\t{','.join(one.protocols)}\tmade {_when(one.created)}\t{used}")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _delete(accounts: AccountDatabase, words: list[str], options: Options) -> None:
    names = [*words[1:], *options.get("--name", [])]
    if len(names) != 1:
        raise UsageError("say which one by its name")
    accounts.app_passwords.delete(words[0], names[0])


_VERBS: dict[str, tuple[Callable[[AccountDatabase, list[str], Options], None], int, int]] = {
    "add": (_add, 1, 1),
    "list": (_list, 1, 1),
    "del": (_delete, 1, 2),
}
"""The function of each verb and how many words may follow it."""
