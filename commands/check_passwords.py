"""The part of `pillarbox check` about tables with secrets, the passwords of the SMTP client.

Each is read as the client would read it.  What makes mail wait is a finding, and so is what would hand the secrets on:
a parameter about whose tables lookup answers must not list the same table.
"""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.access import access_tables
from pillarbox.lib.config.client_services import PROGRAM, password_tables
from pillarbox.lib.config.parameters.smtp_client_sasl import SMTP_SASL_PASSWORD_MAPS
from pillarbox.lib.config.values import all_parameters
from pillarbox.lib.tables import TableError
from pillarbox.lib.tables.kept import examine

_NAME = SMTP_SASL_PASSWORD_MAPS.name


def look_at_passwords(config: Config) -> Iterator[str]:
    """One line for each mistake."""
    listed = _listed(config)
    for spec in _every(config):
        try:
            yield from examine(_NAME, [spec])
        except TableError as error:
            yield str(error)
            continue
        if spec in listed:
            yield f"{_NAME}: {spec} stands in {listed[spec]} too: lookup would tell the passwords to whoever asks"


def unusable_tables(config: Config) -> list[str]:
    """Why a reload would be refused: tables with which the client could not log in."""
    reasons = []
    for spec in _passwords(config):
        try:
            examine(_NAME, [spec])
        except TableError as error:
            reasons.append(str(error))
    return reasons


def _every(config: Config) -> list[str]:
    """All tables of passwords, also those that no service logs in with now."""
    views = [config, *(view for _, view in _views(config))]
    views += [view.for_lmtp() for view in views]
    found: dict[str, None] = {}
    for view in views:
        named = view[SMTP_SASL_PASSWORD_MAPS]
        found.update(dict.fromkeys(named))
    return list(found)


def _passwords(config: Config) -> list[str]:
    """The tables of the services that log in, each once."""
    found: dict[str, None] = {}
    for service, view in _views(config):
        if service.command == PROGRAM:
            found.update(dict.fromkeys(password_tables(view, service.name)))
    return list(found)


def _listed(config: Config) -> dict[str, str]:
    """The tables about which lookup answers, each with a parameter that lists it."""
    found = dict.fromkeys(access_tables(config), "a list of restrictions")
    named = [parameter for parameter in all_parameters().values() if parameter.kind == "tables"]
    for view in (config, *(view for _, view in _views(config))):
        for parameter in named:
            specs = view[parameter]
            assert isinstance(specs, tuple)
            found |= dict.fromkeys(map(str, specs), parameter.name)
    return found


def _views(config: Config) -> Iterator[tuple[Service, Config]]:
    for service in config.services.values():
        yield service, config.for_service(service)
