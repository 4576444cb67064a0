"""The milters and macros of a configuration."""

from __future__ import annotations

from collections.abc import Mapping

from pillarbox.lib.config import Config
from pillarbox.lib.config.milters import DISABLE, MilterSpec, parse_milters
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters import milter as parameters
from pillarbox.lib.milter.options import bare
from pillarbox.lib.milter.packets import CONNECT, DATA, END, END_OF_HEADER, HELO, MAIL, RCPT, UNKNOWN

_MACROS: Mapping[bytes, Parameter[tuple[str, ...]]] = {
    CONNECT: parameters.MILTER_CONNECT_MACROS,
    HELO: parameters.MILTER_HELO_MACROS,
    MAIL: parameters.MILTER_MAIL_MACROS,
    RCPT: parameters.MILTER_RCPT_MACROS,
    DATA: parameters.MILTER_DATA_MACROS,
    END_OF_HEADER: parameters.MILTER_END_OF_HEADER_MACROS,
    END: parameters.MILTER_END_OF_DATA_MACROS,
    UNKNOWN: parameters.MILTER_UNKNOWN_COMMAND_MACROS,
}


def configured_milters(config: Config, parameter: Parameter[tuple[str, ...]]) -> tuple[MilterSpec, ...]:
    """The milters that `smtpd_milters` or `non_smtpd_milters` names."""
    return milters_of(config, config[parameter])


def milters_of(config: Config, items: tuple[str, ...] | str) -> tuple[MilterSpec, ...]:
    """The milters of a list, as the value of smtpd_milter_maps is one; none for DISABLE.  Raises ValueError."""
    if isinstance(items, str) and items.strip() == DISABLE:
        return ()
    protocol = config[parameters.MILTER_PROTOCOL]
    defaults = MilterSpec(
        "",
        config[parameters.MILTER_CONNECT_TIMEOUT],
        config[parameters.MILTER_COMMAND_TIMEOUT],
        config[parameters.MILTER_CONTENT_TIMEOUT],
        config[parameters.MILTER_DEFAULT_ACTION],
        " ".join(protocol),
    )
    return parse_milters(items, defaults)


def configured_macros(config: Config) -> Mapping[bytes, tuple[str, ...]]:
    """The names of the macros for each step, without braces."""
    lists = {step: config[parameter] for step, parameter in _MACROS.items()}
    return {step: tuple(bare(name) for name in names) for step, names in lists.items()}


def macro_defaults(config: Config) -> dict[str, str]:
    """milter_macro_defaults."""
    items = config[parameters.MILTER_MACRO_DEFAULTS]
    pairs = (_unbraced(item).partition("=") for item in items)
    return {bare(name.strip()): value.strip() for name, _, value in pairs}


def _unbraced(item: str) -> str:
    """Without the braces around all of it; `{name}=value` has none such."""
    if item.startswith("{") and item.endswith("}") and not item.partition("}")[2].startswith("="):
        return item[1:-1]
    return item


def all_endpoints(config: Config) -> frozenset[str]:
    """Every endpoint that main.yaml or the options of any service name."""
    views = [config, *(config.for_service(service) for service in config.services.values() if service.options)]
    return frozenset(
        spec.endpoint
        for view in views
        for parameter in (parameters.SMTPD_MILTERS, parameters.NON_SMTPD_MILTERS)
        for spec in configured_milters(view, parameter)
    )
