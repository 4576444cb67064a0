"""`$name` and `${name}` in parameters that are expanded for each recipient: forward_path, luser_relay,
command_execution_directory.

A name that is not a macro here is a parameter; one that is neither stands for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from pillarbox.lib.config import Config
from pillarbox.lib.config.expansion import expand
from pillarbox.lib.config.parameter import joined
from pillarbox.lib.delivery.command import filtered
from pillarbox.local.steps import Message
from pillarbox.local.users import User


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


def user_macros(message: Message, user: User | None, allowed: str = "") -> dict[str, str]:
    """The macros of local(8) for one recipient; those of the user are empty where there is none.

    What an outsider chose, the parts of the address, has every character outside `allowed` replaced by `_` ("" = none
    is).
    """
    delimiter = message.delimiter if message.extension else ""
    chosen = {
        "domain": message.domain,
        "extension": message.extension,
        "local": f"{message.user}{message.delimiter}{message.extension}",
        "recipient": message.recipient,
    }
    if allowed:
        chosen = {name: filtered(value, allowed) for name, value in chosen.items()}
    return {
        **chosen,
        "recipient_delimiter": delimiter,
        "user": user.name if user else message.user,
        "home": user.home if user else "",
        "shell": user.shell if user else "",
    }
