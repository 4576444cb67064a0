"""The environment of commands that local delivery runs (local(8))."""

from __future__ import annotations

import os
from typing import Final

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.local import COMMAND_EXPANSION_FILTER, EXPORT_ENVIRONMENT
from pillarbox.lib.delivery.command import PATH, filtered
from pillarbox.local.steps import Message
from pillarbox.local.users import User

_FROM_ATTRIBUTES: Final = {
    "CLIENT_ADDRESS": "client_address",
    "CLIENT_HELO": "client_helo",
    "CLIENT_HOSTNAME": "client_name",
    "CLIENT_PROTOCOL": "protocol",
    "SASL_METHOD": "sasl_method",
    "SASL_SENDER": "sasl_sender",
    "SASL_USERNAME": "sasl_username",
}


def command_environment(config: Config, message: Message, user: User) -> dict[str, str]:
    """What a command gets: nothing of ours but what export_environment names, and the message's data, filtered."""
    environment = {}
    for entry in config[EXPORT_ENVIRONMENT]:
        name, equals, value = entry.partition("=")
        if equals:
            environment[name] = value
        elif name in os.environ:
            environment[name] = os.environ[name]
    allowed = config[COMMAND_EXPANSION_FILTER]
    local = f"{message.user}{message.delimiter}{message.extension}"
    values = {
        "EXTENSION": message.extension,
        "DOMAIN": message.domain,
        "LOCAL": local,
        "RECIPIENT": message.recipient,
        "ORIGINAL_RECIPIENT": message.original or message.recipient,
        "SENDER": message.sender,
        "ENVID": message.envid,
        **{name: message.attributes.get(key, "") for name, key in _FROM_ATTRIBUTES.items()},
    }
    environment.update({name: filtered(value, allowed) for name, value in values.items()})
    # What an alias or a list runs has the rights of someone else: the name is still the one that the mail is for.
    name = user.name if user.name.lower() == message.user else filtered(message.user, allowed)
    environment.update(PATH=PATH, SHELL=user.shell or "/bin/sh", HOME=user.home, USER=name, LOGNAME=name)
    return environment
