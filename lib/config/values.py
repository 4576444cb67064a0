"""The values in force: declared defaults overlaid by `main.yaml` and, for one service, by its `options`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import TypeVar, cast

from pillarbox.lib.config import parameters as groups
from pillarbox.lib.config.errors import nearest
from pillarbox.lib.config.expansion import expand
from pillarbox.lib.config.families import Family, named_member
from pillarbox.lib.config.parameter import REGISTER, Parameter, Raw, joined
from pillarbox.lib.config.parameters.general import CONFIG_DIRECTORY, QUEUE_DIRECTORY
from pillarbox.lib.config.protocols import lmtp_values, mirrored
from pillarbox.lib.config.services import Service

T = TypeVar("T")


def all_parameters() -> dict[str, Parameter[object]]:
    """Every declared parameter by name; imports the groups that nothing has imported yet."""
    _import_groups()
    return REGISTER


@cache
def _import_groups() -> None:
    for module in pkgutil.iter_modules(groups.__path__):
        importlib.import_module(f"{groups.__name__}.{module.name}")


class Config:
    """Typed access to the parameters in force.  Immutable; parsed values are kept after the first look-up."""

    def __init__(self, values: Mapping[str, Raw], services: Mapping[str, Service] | None = None) -> None:
        self.values = dict(values)
        self.services = dict(services or {})
        self._parsed: dict[str, object] = {}

    @classmethod
    def for_tests(cls, **values: str) -> Config:
        """A configuration without files; directories default to places that exist nowhere."""
        return cls({CONFIG_DIRECTORY.name: "/nonexistent/etc", **values})

    def __getitem__(self, parameter: Parameter[T]) -> T:
        """The typed value.  Raises ValueError where the text is not of the parameter's type (`load` finds it first)."""
        try:
            return cast(T, self._parsed[parameter.name])
        except KeyError:
            value = parameter.parse(self.expanded(parameter.name))
            self._parsed[parameter.name] = value
            return value

    def of_service(self, family: Family[T], service: str) -> T:
        """The value that a family of parameters has for one service."""
        return self[family.member(service) if service in self.services else family.default]

    def raw(self, name: str) -> Raw:
        """The value as written, or the default.  Raises KeyError for a name that no parameter has."""
        if name in self.values:
            return self.values[name]
        parameter = (
            REGISTER.get(name)
            or named_member(name, self.services)
            or mirrored(name)
            or all_parameters().get(name)
            or mirrored(name)  # now that all are there
        )
        if parameter is None:
            raise KeyError(name)
        return parameter.default_raw()

    def expanded(self, name: str) -> Raw:
        """The value with its references expanded; raises KeyError or ValueError."""
        raw = self.raw(name)
        parameter = REGISTER.get(name)
        if parameter is not None and parameter.at_use:
            return raw
        if isinstance(raw, str):
            return expand(raw, self._text)
        return tuple(expand(item, self._text) for item in raw)

    def _text(self, name: str) -> str:
        try:
            return joined(self.raw(name))
        except KeyError:
            raise ValueError(f'"${name}" names no parameter{nearest(name, REGISTER)}') from None

    def for_service(self, service: Service) -> Config:
        """The view of one service: its `options` laid over the values of `main.yaml`."""
        values = {**self.values, "service_name": service.name, **service.options}
        return Config(values, self.services)

    def for_lmtp(self) -> Config:
        """The view of a service that speaks LMTP: `lmtp_X` in the place of `smtp_X` where it is set."""
        return Config(lmtp_values(self.values), self.services)

    def socket_path(self, name: str) -> str:
        """The UNIX socket of a service: spool/public/NAME where `master.yaml` says public, else spool/private/NAME."""
        service = self.services.get(name)
        folder = "public" if service and "public" in service.listen else "private"
        return f"{self[QUEUE_DIRECTORY]}/{folder}/{name}"
