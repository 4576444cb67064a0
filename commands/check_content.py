"""What `pillarbox check` finds about content checks and content filters."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pillarbox.lib.config import Config
from pillarbox.lib.config.errors import nearest
from pillarbox.lib.config.parameters.content import (
    BODY_CHECKS,
    CONTENT_FILTER,
    HEADER_CHECKS,
    MIME_HEADER_CHECKS,
    NESTED_HEADER_CHECKS,
)
from pillarbox.lib.tables import Maps, TableError

CHECKS = (HEADER_CHECKS, MIME_HEADER_CHECKS, NESTED_HEADER_CHECKS, BODY_CHECKS)
"""Tables of rules for content, which are looked at for services of cleanup."""


def look_at_content(config: Config) -> Iterator[str]:
    """One line for each mistake."""
    found: dict[str, None] = {}
    for service in config.services.values():
        view = config.for_service(service)
        if service.command in ("cleanup", "cleanup.virtual"):
            found.update(dict.fromkeys(_tables(view)))
        name = view[CONTENT_FILTER].partition(":")[0].strip()
        if name and name not in config.services:
            found[f'{CONTENT_FILTER.name}: master.yaml has no service "{name}"{nearest(name, config.services)}'] = None
    yield from found


def _tables(config: Config) -> Iterator[str]:
    for parameter in CHECKS:
        specs: tuple[str, ...] = config[parameter]
        try:
            maps = Maps.open(parameter.name, specs)
        except TableError as error:
            yield f"{parameter.name}: {error}"
            continue
        for path in maps.files():
            if not os.path.exists(path):
                yield f"{parameter.name}: {path}: there is no such file"
