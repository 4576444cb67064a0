"""What `pillarbox check` finds about look-up tables: those that are no tables, and files that are missing or broken.

Without it the first sign would be mail that waits.
"""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.commands.check_content import CHECKS
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MYDESTINATION
from pillarbox.lib.config.parameters.lookup import (
    ALIAS_DATABASE,
    FAST_FLUSH_DOMAINS,
    RELAY_DOMAINS,
    VIRTUAL_ALIAS_DOMAINS,
    VIRTUAL_MAILBOX_DOMAINS,
)
from pillarbox.lib.config.values import all_parameters
from pillarbox.lib.tables.listing import contents

_ELSEWHERE = {ALIAS_DATABASE.name, *(parameter.name for parameter in CHECKS)}
"""Other parts of the check look at these."""

_OWN_TYPES = ("accounts", "logins")
"""Types that only the program lookup has."""


_DOMAINS = {
    parameter.name
    for parameter in (
        MYDESTINATION,
        RELAY_DOMAINS,
        VIRTUAL_ALIAS_DOMAINS,
        VIRTUAL_MAILBOX_DOMAINS,
        FAST_FLUSH_DOMAINS,
    )
}
"""Lists in which tables may stand among names."""


def look_at_tables(config: Config) -> Iterator[str]:
    """One line for each table that a parameter names, and that could not answer."""
    aliases = config[ALIAS_DATABASE]
    for service in (None, *config.services.values()):
        view = config if service is None else config.for_service(service)
        for name, parameter in all_parameters().items():
            if name in _ELSEWHERE or (service and name not in service.options):
                continue
            if parameter.kind != "tables" and name not in _DOMAINS:
                continue
            value = view[parameter]
            for spec in value if isinstance(value, tuple) else ():
                kind = spec.removeprefix("proxy:").partition(":")[0]
                if spec in aliases or ":" not in spec or kind in _OWN_TYPES:
                    continue
                fault, _ = contents(spec)
                if fault:
                    yield f"{name}: {fault}"
