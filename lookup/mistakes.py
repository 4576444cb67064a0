"""What is wrong with the parameters of lookup that nobody else reads: the lines for `pillarbox check`."""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.lib.address import AddressSyntaxError, parse_mailbox
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.rewriting import ALWAYS_BCC, SRS_DOMAIN, SRS_SECRET_FILE
from pillarbox.lookup.forwarding import read_keys


def mistakes(config: Config) -> Iterator[str]:
    """A line for each."""
    if config[SRS_DOMAIN].strip():
        try:
            read_keys(config[SRS_SECRET_FILE])
        except ValueError as error:
            yield str(error)
    copy = config[ALWAYS_BCC].strip()
    if copy:
        try:
            parse_mailbox(copy, allow_bare=True)
        except AddressSyntaxError as error:
            yield f'{ALWAYS_BCC.name}: an address was expected, not "{copy}": {error}'
