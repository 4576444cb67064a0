"""The scripts of the site: where they are, and what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pillarbox.lib.config import Config
from pillarbox.lib.config.errors import nearest
from pillarbox.lib.config.parameters import sieve as parameters
from pillarbox.lib.sieve import ALL
from pillarbox.lib.sieve_box.scripts import ScriptCache, ScriptTrouble


def directories(config: Config) -> tuple[str, ...]:
    """The directories that a confined process must be able to read: a script may be replaced while it runs."""
    wanted = [os.path.dirname(path) for _, path in _scripts(config)]
    return tuple(path for path in dict.fromkeys((*wanted, config[parameters.SIEVE_GLOBAL])) if os.path.isdir(path))


def mistakes(config: Config) -> Iterator[str]:
    """A line for each script that mail would wait for, and for what does not exist."""
    cache = ScriptCache.configured(config)
    for name, path in _scripts(config):
        try:
            found = cache.get(path, "")
        except ScriptTrouble as trouble:
            yield f"{name}: {trouble}"
        else:
            if found is None:
                yield f"{name}: {path}: No such file"
    for word in config[parameters.SIEVE_EXTENSIONS]:
        if (extension := word.lstrip("+-")) not in ALL:
            hint = nearest(extension, ALL)
            yield f'{parameters.SIEVE_EXTENSIONS.name}: there is no extension "{extension}"{hint}'
    place = config[parameters.SIEVE_GLOBAL]
    if place and not os.path.isdir(place):
        yield f"{parameters.SIEVE_GLOBAL.name}: {place}: No such directory"


def _scripts(config: Config) -> Iterator[tuple[str, str]]:
    for parameter in (parameters.SIEVE_BEFORE, parameters.SIEVE_AFTER):
        for path in config[parameter]:
            yield parameter.name, path
    if default := config[parameters.SIEVE_DEFAULT]:
        yield parameters.SIEVE_DEFAULT.name, default
