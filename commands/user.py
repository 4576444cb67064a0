"""`pillarbox user`: make, change, list and remove hosted accounts.

    pillarbox user add ADDRESS [PASSWORD]
    pillarbox user passwd ADDRESS [PASSWORD]
    pillarbox user list [DOMAIN]
    pillarbox user del ADDRESS
    pillarbox user protocols ADDRESS [PROTOCOL...|all]
    pillarbox user quota ADDRESS [QUOTA|none|default]
    pillarbox user location ADDRESS [LOCATION|default]

Without PASSWORD it is asked for twice at a terminal, or read as one line from the standard input.  Only the row in the
database changes: the mailbox is made by the first delivery or login, and `del` leaves the mail where it is.
`protocols` says for which protocols (smtp, imap, pop3, sieve) the password counts, without words it shows them; others
then need an app password (`pillarbox app-password`).
`quota` says what the mailbox may hold ("1G", "500M 10000C"; none: any amount; default: what mailbox_quota_maps and
mailbox_quota say); without a word it shows that and what is in the mailbox, in octets and messages.
`location` says where the mail lies (default: what mail_location_domains and mail_location say), and without a word
shows that; it moves no mail (pillarbox mailbox convert does).
Ends with 0 or a sysexits(3) code: 64 usage, 65 bad address or password, 67 no such account, 73 exists already,
75 database busy, 77 no permission.
"""

from __future__ import annotations

import contextlib
import getpass
import sys
from collections.abc import Callable, Sequence

from pillarbox.commands.accounts import UsageError, open_accounts, run_command
from pillarbox.lib.accounts import (
    PROTOCOLS,
    AccountNotFound,
    AccountsUnavailable,
    BadPassword,
    mail_location,
    mailbox_directory,
    normalize_address,
)
from pillarbox.lib.address import normalize_domain
from pillarbox.lib.config import Config
from pillarbox.lib.config.quota import Limits
from pillarbox.lib.store.maildir.ledger import Ledger

USAGE = (
    "usage: pillarbox user add ADDRESS [PASSWORD] | passwd ADDRESS [PASSWORD] | list [DOMAIN] | del ADDRESS\n"
    "       pillarbox user protocols ADDRESS [PROTOCOL...|all] | quota ADDRESS [QUOTA|none|default]\n"
    "       pillarbox user location ADDRESS [LOCATION|default]"
)


def main(argv: Sequence[str], config: Config) -> int:
    """Run `pillarbox user` with the words after `user`; gives the exit status."""

    def work() -> None:
        if not argv or argv[0] not in _VERBS:
            raise UsageError
        verb, minimum, maximum = _VERBS[argv[0]]
        if not minimum <= len(argv) - 1 <= maximum:
            raise UsageError
        verb(config, *argv[1:])

    return run_command("user", USAGE, config, work)


def _add(config: Config, address: str, password: str | None = None) -> None:
    normalize_address(address)  # a bad address is better told before the password is asked for
    with contextlib.closing(open_accounts(config)) as accounts:
        accounts.add(address, _password(password))


def _passwd(config: Config, address: str, password: str | None = None) -> None:
    address = normalize_address(address)
    with contextlib.closing(open_accounts(config)) as accounts:
        if not accounts.exists(address):
            raise AccountNotFound(f"{address} has no account")
        accounts.set_password(address, _password(password))


def _list(config: Config, domain: str | None = None) -> None:
    with contextlib.closing(open_accounts(config)) as accounts:
        for address in accounts.addresses(normalize_domain(domain) if domain else None):
            print(address)


def _delete(config: Config, address: str) -> None:
    with contextlib.closing(open_accounts(config)) as accounts:
        accounts.delete(address)


def _protocols(config: Config, address: str, *protocols: str) -> None:
    address = normalize_address(address)
    with contextlib.closing(open_accounts(config)) as accounts:
        row = accounts.lookup(address)
        if row is None:
            raise AccountNotFound(f"{address} has no account")
        if protocols:
            wanted = [one for words in protocols for one in words.replace(",", " ").split()]
            accounts.set_password_protocols(address, () if wanted == ["all"] else wanted)
        else:
            print(" ".join(row.password_protocols or PROTOCOLS))


def _quota(config: Config, address: str, *words: str) -> None:
    address = normalize_address(address)
    with contextlib.closing(open_accounts(config)) as accounts:
        row = accounts.lookup(address)
        if row is None:
            raise AccountNotFound(f"{address} has no account")
        if words:
            accounts.set_quota(address, "" if words == ("default",) else " ".join(words))
            return
    try:
        # Nothing is written: a file of root's would be in the mailbox owner's way.
        used = Ledger(mailbox_directory(config, address)).count()
    except OSError as error:
        raise AccountsUnavailable(f"cannot look into the mailbox: {error}") from None
    print(f"{row.quota or 'default'} used {Limits(used.size)},{used.messages}C")


def _location(config: Config, address: str, location: str | None = None) -> None:
    address = normalize_address(address)
    with contextlib.closing(open_accounts(config)) as accounts:
        row = accounts.lookup(address)
        if row is None:
            raise AccountNotFound(f"{address} has no account")
        if location is None:
            print(mail_location(config, address, row.location))
        else:
            accounts.set_location(address, "" if location == "default" else location)


def _password(given: str | None) -> str:
    if given is not None:
        return given
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("New password: ")
    if getpass.getpass("Once more: ") != password:
        raise BadPassword("the two passwords differ")
    return password


_VERBS: dict[str, tuple[Callable[..., None], int, int]] = {
    "add": (_add, 1, 2),
    "passwd": (_passwd, 1, 2),
    "list": (_list, 0, 1),
    "del": (_delete, 1, 1),
    "quota": (_quota, 1, 3),
    "location": (_location, 1, 2),
    "protocols": (_protocols, 1, 1 + len(PROTOCOLS)),
}
"""The function of each verb and how many words may follow it."""
