"""Families of parameters: a default for all services, and a value for one service under a name that begins with it.

    DESTINATION_RATE_DELAY = family(seconds("default_destination_rate_delay", "0s", "..."))
    config.of_service(DESTINATION_RATE_DELAY, "slow")     # slow_destination_rate_delay, else default_destination_...

The declared default names the family: the members are SERVICE plus its name without "default_" (the `transport_*`
parameters of postconf(5)).  Every service of master.yaml has its members without a further declaration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from pillarbox.lib.config.parameter import Parameter, declare

T = TypeVar("T")

_DEFAULT = "default_"


class Family(Generic[T]):
    """One family; `own` holds the members whose default is not the family's."""

    def __init__(self, default: Parameter[T], own: Mapping[str, str]) -> None:
        self.default = default
        self.suffix = "_" + default.name.removeprefix(_DEFAULT)
        doc = f"The same as {default.name}, for the service %s."
        self.own: dict[str, Parameter[T]] = {
            service: declare(service + self.suffix, value, doc % service, default.kind, default.parse)
            for service, value in own.items()
        }
        self._members: dict[str, Parameter[T]] = dict(self.own)

    def member(self, service: str) -> Parameter[T]:
        """The parameter of one service."""
        member = self._members.get(service)
        if member is None:
            default = self.default
            doc = f"The same as {default.name}, for the service {service}."
            member = Parameter(service + self.suffix, f"${default.name}", doc, default.kind, default.parse)
            self._members[service] = member
        return member


FAMILIES: list[Family[object]] = []


def family(default: Parameter[T], own: Mapping[str, str] | None = None) -> Family[T]:
    """Declare the family of a declared default; `own` gives services another default."""
    made = Family(default, own or {})
    FAMILIES.append(made)  # type: ignore[arg-type]
    return made


def named_member(name: str, services: Iterable[str]) -> Parameter[object] | None:
    """The member of that name, where it belongs to one of the services; or None."""
    for each in FAMILIES:
        if name.endswith(each.suffix) and (service := name.removesuffix(each.suffix)) in services:
            return each.member(service)
    return None


def service_of(name: str) -> str:
    """The service that a parameter of this name would belong to, or ""; the longest suffix counts."""
    suffixes = [each.suffix for each in FAMILIES if name.endswith(each.suffix)]
    return name.removesuffix(max(suffixes, key=len)) if suffixes else ""


def members(services: Iterable[str]) -> dict[str, Parameter[object]]:
    """All members of the services, by name."""
    found = [each.member(service) for service in services for each in FAMILIES]
    return {member.name: member for member in found}
