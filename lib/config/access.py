"""What the restriction lists of a configuration say together: every name is known, and no service is an open relay.

Each list has been read before (`restrictions`); here a service's lists are looked at as a whole, with its own options
in force.  `access_tables` are the tables that restrictions, and the SMTP client, may ask lookup about;
`content_tables` those of content checks.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from pillarbox.lib.config.errors import Problem, nearest
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters import content, milter, smtpd_access
from pillarbox.lib.config.parameters.rewriting import (
    SMTP_BODY_CHECKS,
    SMTP_GENERIC_MAPS,
    SMTP_HEADER_CHECKS,
    SMTP_MIME_HEADER_CHECKS,
    SMTP_NESTED_HEADER_CHECKS,
)
from pillarbox.lib.config.parameters.smtpd_auth import LOCAL_HEADER_REWRITE_CLIENTS
from pillarbox.lib.config.parameters.tls import SMTP_TLS_POLICY_MAPS
from pillarbox.lib.config.restrictions import (
    ACCESS_TABLES,
    CLASSES,
    OF_LIST,
    PROTECTING,
    Rule,
    certificate_table,
    class_parameter,
    closed,
    is_class_name,
    unknown,
    with_classes,
)
from pillarbox.lib.config.services import Service
from pillarbox.lib.config.values import Config

LISTS: tuple[Parameter[tuple[Rule, ...]], ...] = (
    smtpd_access.SMTPD_CLIENT_RESTRICTIONS,
    smtpd_access.SMTPD_HELO_RESTRICTIONS,
    smtpd_access.SMTPD_SENDER_RESTRICTIONS,
    smtpd_access.SMTPD_RELAY_RESTRICTIONS,
    smtpd_access.SMTPD_RECIPIENT_RESTRICTIONS,
    smtpd_access.SMTPD_DATA_RESTRICTIONS,
    smtpd_access.SMTPD_END_OF_DATA_RESTRICTIONS,
    smtpd_access.SMTPD_ETRN_RESTRICTIONS,
)
"""All restriction lists."""

_MAPS = (smtpd_access.SMTPD_SENDER_LOGIN_MAPS, smtpd_access.RBL_REPLY_MAPS, smtpd_access.RELAY_CLIENTCERTS)

CLIENT_TABLES = (SMTP_TLS_POLICY_MAPS, SMTP_GENERIC_MAPS)
"""What the SMTP client asks about, by service.  Its passwords are not among it: smtpd, whose user is the same, could
ask too."""

CLIENT_CHECKS = (SMTP_HEADER_CHECKS, SMTP_MIME_HEADER_CHECKS, SMTP_NESTED_HEADER_CHECKS, SMTP_BODY_CHECKS)
"""What the SMTP client looks up in content."""

CONTENT_CHECKS = (
    content.HEADER_CHECKS,
    content.MIME_HEADER_CHECKS,
    content.NESTED_HEADER_CHECKS,
    content.BODY_CHECKS,
    milter.MILTER_HEADER_CHECKS,
    *CLIENT_CHECKS,
)
"""Tables that cleanup and the SMTP client open themselves; lookup is asked about those that ask servers."""

PROGRAM = "smtpd"

_RELAY, _RECIPIENT = smtpd_access.SMTPD_RELAY_RESTRICTIONS, smtpd_access.SMTPD_RECIPIENT_RESTRICTIONS


def list_problems(config: Config) -> Iterator[tuple[str, str]]:
    """What is wrong with the lists of one view of the configuration, as (parameter, text)."""
    classes = config[smtpd_access.SMTPD_RESTRICTION_CLASSES]
    found = False
    for name in classes:
        if not is_class_name(name):
            yield CLASSES, f'"{name}" cannot be the name of a class: letters, digits, "_" and "-", and no restriction'
        elif name not in config.values:
            yield CLASSES, f'the class "{name}" is set nowhere{nearest(name, config.values)}'
        else:
            continue
        found = True
    if found:
        return
    for parameter in (*LISTS, *map(class_parameter, classes)):
        rules = config[parameter]
        problem = unknown(rules, classes)
        if problem:
            found = True
            yield parameter.name, problem
    if found:
        return
    try:
        relay, recipient = config[_RELAY], config[_RECIPIENT]
        lists = [tuple(with_classes(config, rules, classes)) for rules in (relay, recipient)]
        tuple(with_classes(config, map(Rule, classes), classes))
    except ValueError as error:
        yield CLASSES, str(error)
        return
    if not any(closed(rules) for rules in lists):
        yield (
            _RELAY.name,
            "an open relay: here or in smtpd_recipient_restrictions, specify at least one working instance of "
            + ", ".join(PROTECTING),
        )


def access_problems(
    config: Config,
    main_file: str,
    lines: Mapping[str, int],
    master_file: str,
    option_lines: Mapping[str, Mapping[str, int]],
) -> list[Problem]:
    """The problems of all services, each at the place where the parameter is set."""
    services = [service for service in config.services.values() if service.command == PROGRAM]
    found: dict[Problem, None] = {}
    for name, text in list_problems(config):
        found[Problem(main_file, lines.get(name, 0), name, text)] = None
    for service in services:
        for name, text in list_problems(config.for_service(service)):
            own = option_lines.get(service.name, {})
            if name in own:
                found[Problem(master_file, own[name], name, text)] = None
            elif name in lines or not own:
                found[Problem(main_file, lines.get(name, 0), name, text)] = None
            else:
                found[Problem(master_file, 0, name, f"{service.name}: {text}")] = None
    return list(found)


def rules_of(config: Config) -> Iterator[Rule]:
    """Every rule that the lists and classes of one view hold, as they are written."""
    classes = config[smtpd_access.SMTPD_RESTRICTION_CLASSES]
    for parameter in (*LISTS, *map(class_parameter, classes)):
        rules = config[parameter]
        yield from rules


def rule_tables(rules: Iterable[Rule]) -> Iterator[str]:
    """The tables that rules name."""
    for rule in rules:
        if rule.name in ACCESS_TABLES or rule.name == OF_LIST:
            yield rule.argument
        elif rule.name == "check_ccert_access":
            yield certificate_table(rule.argument)[0]


def any_rule(config: Config, names: Container[str]) -> bool:
    """Whether a list of any service holds a rule of one of these names."""
    views = [config, *map(config.for_service, _with_options(config.services.values()))]
    return any(rule.name in names for view in views for rule in rules_of(view))


def access_tables(config: Config) -> tuple[str, ...]:
    """The tables that may be asked about by name: those of main.yaml, and of every service's own options."""
    views = [config, *map(config.for_service, _with_options(config.services.values()))]
    views += [view.for_lmtp() for view in views]
    found: dict[str, None] = {}
    for view in views:
        found.update(dict.fromkeys(rule_tables(rules_of(view))))
        for parameter in (*_MAPS, *CLIENT_TABLES):
            named = view[parameter]
            found.update(dict.fromkeys(named))
        found.update(dict.fromkeys(word for word in view[LOCAL_HEADER_REWRITE_CLIENTS] if ":" in word))
    return tuple(found)


def content_tables(config: Config) -> tuple[str, ...]:
    """The tables of content checks: those of main.yaml, and of every service's own options."""
    views = [config, *map(config.for_service, _with_options(config.services.values()))]
    views += [view.for_lmtp() for view in views]
    found: dict[str, None] = {}
    for view in views:
        for parameter in CONTENT_CHECKS:
            specs: tuple[str, ...] = view[parameter]
            found.update(dict.fromkeys(specs))
    return tuple(found)


def _with_options(services: Iterable[Service]) -> list[Service]:
    return [service for service in services if service.options]
