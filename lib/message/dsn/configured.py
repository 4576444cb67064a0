"""The templates in force: the administrator's file, `$name` expanded, and ours where that has none or a broken one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pillarbox.lib.config import Config
from pillarbox.lib.config.expansion import expand
from pillarbox.lib.config.parameter import joined
from pillarbox.lib.config.parameters.bounce import BOUNCE_TEMPLATE_FILE, DELAY_WARNING_TIME
from pillarbox.lib.config.parameters.qmgr import MAXIMAL_QUEUE_LIFETIME
from pillarbox.lib.message.dsn.kinds import BUILT_IN
from pillarbox.lib.message.dsn.template import FILE_LIMIT, RETRY_UNTIL, Template, read_templates, time_names


def read_file(config: Config, warn: Callable[[str], None]) -> dict[str, Template]:
    """What `bounce_template_file` has, not expanded; nothing where it cannot be read, which is told to `warn`."""
    path = config[BOUNCE_TEMPLATE_FILE]
    if not path:
        return {}
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_LIMIT + 1)
    except OSError as error:
        warn(f"bounce_template_file {path}: {error.strerror}; the built-in texts are used")
        return {}
    return read_templates(data, lambda text: warn(f"bounce_template_file {path}: {text}; the built-in text is used"))


def expanded(config: Config, templates: dict[str, Template], warn: Callable[[str], None]) -> dict[str, Template]:
    """All templates with the values of parameters in them; one that names none that exists is replaced by ours."""
    names = dict(
        time_names(
            {
                DELAY_WARNING_TIME.name: config[DELAY_WARNING_TIME],
                MAXIMAL_QUEUE_LIFETIME.name: config[MAXIMAL_QUEUE_LIFETIME],
            }
        )
    )
    names[RETRY_UNTIL] = f"$${RETRY_UNTIL}"  # known only when a report is written

    def value_of(name: str) -> str:
        return names[name] if name in names else joined(config.raw(name))

    found = {}
    for name, built_in in BUILT_IN.items():
        template = templates.get(name, built_in)
        try:
            found[name] = replace(template, body=expand(template.body, value_of))
        except ValueError as error:
            warn(f"bounce_template_file: {name}_template: {error}; the built-in text is used")
            found[name] = replace(built_in, body=expand(built_in.body, value_of))
    return found
