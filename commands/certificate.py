"""`pillarbox certificate`: client certificates that log in as an account, by the SASL mechanism EXTERNAL.

    pillarbox certificate add ADDRESS FILE|FINGERPRINT [--key] [--name NAME]
    pillarbox certificate list ADDRESS
    pillarbox certificate del ADDRESS FINGERPRINT

FILE is a PEM certificate; FINGERPRINT is its SHA-256 (64 hex digits, colons as you like).  With `--key` the public key
of FILE counts instead of the certificate, so that it may be renewed.  Who issued a certificate does not matter here;
the servers must ask clients for one (smtpd_tls_ask_ccert, login_tls_ask_ccert).
Ends with 0 or a sysexits(3) code, as `pillarbox user`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from pillarbox.commands.accounts import UsageError, open_accounts, parse_words, run_command
from pillarbox.lib.accounts import AccountNotFound, BadCertificate, normalize_address
from pillarbox.lib.accounts.certificates import certificate_fingerprint, normalize_fingerprint
from pillarbox.lib.config import Config

USAGE = (
    "usage: pillarbox certificate add ADDRESS FILE|FINGERPRINT [--key] [--name NAME]\n"
    "       pillarbox certificate list ADDRESS | del ADDRESS FINGERPRINT"
)
_WORDS = {"add": 2, "list": 1, "del": 2}
FILE_LIMIT = 1 << 20


def main(argv: Sequence[str], config: Config) -> int:
    """Run `pillarbox certificate` with the words after it; gives the exit status."""

    def work() -> None:
        if not argv or argv[0] not in _WORDS:
            raise UsageError
        words, options = parse_words(list(argv[1:]), {"--key": False, "--name": True} if argv[0] == "add" else {})
        if len(words) != _WORDS[argv[0]]:
            raise UsageError
        with contextlib.closing(open_accounts(config)) as accounts:
            address = normalize_address(words[0])
            if not accounts.exists(address):
                raise AccountNotFound(f"{address} has no account")
            match argv[0]:
                case "add":
                    fingerprint = _fingerprint(words[1], key="--key" in options)
                    print(accounts.certificates.add(address, fingerprint, options.get("--name", [""])[-1]))
                case "list":
                    for one in accounts.certificates.of(address):
                        print(f"{one.fingerprint}\t{one.name}" if one.name else one.fingerprint)
                case _:
                    accounts.certificates.delete(address, words[1])

    return run_command("certificate", USAGE, config, work)


def _fingerprint(word: str, *, key: bool) -> str:
    path = Path(word)
    if not path.exists():
        if key:
            raise BadCertificate(f"{word} does not exist; --key needs a file with a certificate")
        return normalize_fingerprint(word)
    try:
        with path.open("rb") as stream:
            pem = stream.read(FILE_LIMIT)
    except OSError as error:
        raise BadCertificate(f"cannot read {word}: {error.strerror}") from None
    return certificate_fingerprint(pem, key=key)
