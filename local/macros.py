"""`$name` and `${name}` in parameters that are expanded for each recipient (forward_path, luser_relay).

A name that is not a macro here is a parameter; one that is neither stands for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from pillarbox.lib.config import Config
from pillarbox.lib.config.expansion import expand
from pillarbox.lib.config.parameter import joined


def expand_macros(text: str, macros: Mapping[str, str], config: Config) -> str:
    """`text` with its macros replaced.  A macro's value is taken as it is: `$` in it means nothing."""

    def value(name: str) -> str:
        if name in macros:
            return macros[name].replace("$", "$$")
        try:
            return joined(config.raw(name))
        except KeyError:
            return ""

    return expand(text, value)
