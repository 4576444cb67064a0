"""The grammar of restriction lists: which restrictions there are, what each wants behind its name, what a list says.

    smtpd_recipient_restrictions: permit_mynetworks, reject_unauth_destination, reject_rbl_client bl.example=127.0.0.2

A list is a row of restrictions from left to right, each with its argument where it takes one (postconf(5)).  A bare
`type:table` stands for the access table check of its list.  `smtpd_restriction_classes` names further lists, which are
parameters of their own and may stand wherever a restriction may.  What a restriction does is no business of this
module: smtpd has a function for each name, and a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pillarbox.lib.config.delegation import parse_policy_server
from pillarbox.lib.config.errors import nearest
from pillarbox.lib.config.parameter import Default, Parameter, Raw, declare, split_words
from pillarbox.lib.config.reply_filter import parse_listing

if TYPE_CHECKING:
    from pillarbox.lib.config.values import Config

CLASSES: Final = "smtpd_restriction_classes"
"""The parameter that names the classes."""

OF_LIST: Final = "check_list_access"
"""The name of a rule that is a bare `type:table` in a class: the access table check of the list that led there."""

NESTING_LIMIT: Final = 100
"""How deep classes may refer to classes; real ones have two or three levels."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One restriction of a list.  `warn_only`: it stands behind `warn_if_reject`."""

    name: str
    argument: str = ""
    warn_only: bool = False


_TABLE = re.compile(r"[a-z][a-z0-9_]*:.+", re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,3}")

VERIFYING = frozenset(("reject_unverified_sender", "reject_unverified_recipient"))
"""Restrictions that ask the service `verify`."""


def _table(text: str) -> None:
    if not _TABLE.fullmatch(text):
        raise ValueError(f'a table "type:name" was expected, not "{text}"')


def _certificate_table(text: str) -> None:
    certificate_table(text)


def _seconds(text: str) -> None:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f'a number of seconds was expected, not "{text}"')


def _listing(text: str) -> None:
    parse_listing(text)


def _policy_server(text: str) -> None:
    parse_policy_server(text)


CERTIFICATE_KEYS: Final = ("cert_fingerprint", "pubkey_fingerprint")
"""What check_ccert_access can look up, in the order in which it does."""


def certificate_table(text: str) -> tuple[str, tuple[str, ...]]:
    """The table of check_ccert_access and what is looked up in it: `type:name`, or
    `{ type:name, { search_order = pubkey_fingerprint cert_fingerprint } }`.  Raises ValueError."""
    if not text.startswith("{"):
        _table(text)
        return text, CERTIFICATE_KEYS
    table, *options = split_words(text[1:-1].strip())
    _table(table)
    order: tuple[str, ...] = CERTIFICATE_KEYS
    for option in options:
        name, equals, value = option.strip("{} ").partition("=")
        if not equals:
            raise ValueError(f'"search_order = NAMES" in braces was expected, not "{option}"')
        order = split_words(value)
        if name.strip() != "search_order" or not order or not set(order) <= set(CERTIFICATE_KEYS):
            raise ValueError(f'"search_order = {" ".join(CERTIFICATE_KEYS)}" was expected, not "{option}"')
    return table, order


Argument = Callable[[str], None]
"""Looks at what stands behind a name; raises ValueError."""

ACCESS_TABLES: Final = (
    *(f"check_{what}_access" for what in ("client", "reverse_client_hostname", "helo", "sender", "recipient", "etrn")),
    "check_sasl_access",
    *(
        f"check_{what}_{record}_access"
        for what in ("client", "reverse_client_hostname", "helo", "sender", "recipient")
        for record in ("a", "mx", "ns")
    ),
)
"""The restrictions that look something up in an access(5) table."""

BLOCKLISTS: Final = (
    "reject_rbl_client",
    "permit_dnswl_client",
    *(f"reject_rhsbl_{what}" for what in ("client", "reverse_client", "helo", "sender", "recipient")),
    "permit_rhswl_client",
)
"""The restrictions that ask a list in the DNS."""

WITHOUT_ARGUMENT: Final = (
    "permit",
    "reject",
    "defer",
    "defer_if_permit",
    "defer_if_reject",
    "permit_mynetworks",
    "permit_inet_interfaces",
    "permit_sasl_authenticated",
    "permit_tls_clientcerts",
    "permit_tls_all_clientcerts",
    "permit_auth_destination",
    "reject_unauth_destination",
    "defer_unauth_destination",
    "reject_unknown_client_hostname",
    "reject_unknown_reverse_client_hostname",
    "reject_invalid_helo_hostname",
    "reject_non_fqdn_helo_hostname",
    "reject_unknown_helo_hostname",
    "reject_non_fqdn_sender",
    "reject_unknown_sender_domain",
    "reject_unlisted_sender",
    "reject_unverified_sender",
    "reject_sender_login_mismatch",
    "reject_authenticated_sender_login_mismatch",
    "reject_known_sender_login_mismatch",
    "reject_unauthenticated_sender_login_mismatch",
    "reject_non_fqdn_recipient",
    "reject_unknown_recipient_domain",
    "reject_unlisted_recipient",
    "reject_unverified_recipient",
    "reject_multi_recipient_bounce",
    "reject_unauth_pipelining",
    "reject_plaintext_session",
    "reject_greylisted",
)

RESTRICTIONS: Final[Mapping[str, Argument | None]] = {
    **dict.fromkeys(WITHOUT_ARGUMENT, None),
    **dict.fromkeys(ACCESS_TABLES, _table),
    "check_ccert_access": _certificate_table,
    **dict.fromkeys(BLOCKLISTS, _listing),
    "check_policy_service": _policy_server,
    "sleep": _seconds,
}
"""Every restriction, and what looks at its argument."""

WARN_IF_REJECT: Final = "warn_if_reject"

OTHER_NAMES: Final = {
    "reject_rbl": "reject_rbl_client",
    "reject_unknown_client": "reject_unknown_client_hostname",
    "reject_invalid_hostname": "reject_invalid_helo_hostname",
    "reject_unknown_hostname": "reject_unknown_helo_hostname",
    "reject_non_fqdn_hostname": "reject_non_fqdn_helo_hostname",
    "reject_unknown_address": "reject_unknown_sender_domain",
    **{
        f"check_reverse_client_{record}access": f"check_reverse_client_hostname_{record}access"
        for record in ("a_", "mx_", "ns_")
    },
}
"""Names that Postfix had before 2.3, or has besides."""

OBSOLETE: Final = {
    "permit_naked_ip_address": "permit_mynetworks or permit_sasl_authenticated",
    "check_relay_domains": "permit_mynetworks, reject_unauth_destination",
    "reject_maps_rbl": "reject_rbl_client with a domain name",
    "permit_mx_backup": "relay_domains and reject_unauth_destination",
}
"""Names that are understood but not served, with what to write instead."""

PROTECTING: Final = ("reject_unauth_destination", "defer_unauth_destination", "reject", "defer", "defer_if_permit")
"""The restrictions of which a service needs one, so that it is no open relay."""


def parse_rules(raw: Raw, access_table: str = "") -> tuple[Rule, ...]:
    """The rules of a list.  `access_table` is the restriction that a bare `type:table` stands for, "" where none does.

    A name that is no restriction is taken for that of a class (`unknown` finds those that are neither).
    Raises ValueError for a name without its argument, or an argument that makes no sense.
    """
    words = iter(split_words(raw))
    rules: list[Rule] = []
    warn_only = False
    for word in words:
        name = OTHER_NAMES.get(word.lower(), word.lower())
        if name == WARN_IF_REJECT:
            warn_only = True
            continue
        if name in OBSOLETE:
            raise ValueError(f'"{word}" is not supported; use {OBSOLETE[name]}')
        if ":" in word:
            if not access_table:
                known = ", ".join(each for each in ACCESS_TABLES if each.count("_") == 2)
                raise ValueError(f'"{word}": say for what the table is, with one of {known} before it')
            _table(word)
            rules.append(Rule(access_table, word, warn_only))
        else:
            look = RESTRICTIONS.get(name)
            argument = ""
            if look is not None:
                argument = next(words, "")
                if not argument:
                    raise ValueError(f"{name} needs an argument")
                try:
                    look(argument)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
            rules.append(Rule(name if name in RESTRICTIONS else word, argument, warn_only))
        warn_only = False
    if warn_only:
        raise ValueError(f"{WARN_IF_REJECT} needs a restriction behind it")
    return tuple(rules)


def restrictions(name: str, default: Default, doc: str, access_table: str = "") -> Parameter[tuple[Rule, ...]]:
    """Declare a restriction list."""
    return declare(name, default, doc, "restrictions", lambda raw: parse_rules(raw, access_table))


def class_parameter(name: str) -> Parameter[tuple[Rule, ...]]:
    """The parameter of a class; a bare `type:table` in it is the access table check of the list that uses the class."""
    return Parameter(name, "", "A restriction class.", "restrictions", lambda raw: parse_rules(raw, OF_LIST))


def is_class_name(name: str) -> bool:
    """Whether a restriction class may be called so."""
    return bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name)) and name.lower() not in {
        *RESTRICTIONS,
        *OTHER_NAMES,
        *OBSOLETE,
        WARN_IF_REJECT,
    }


def unknown(rules: Iterable[Rule], classes: Sequence[str]) -> str:
    """What is wrong with the first name in a list that is neither a restriction nor a class; "" where there is none."""
    for rule in rules:
        if rule.name not in RESTRICTIONS and rule.name not in classes and rule.name != OF_LIST:
            return f'unknown restriction "{rule.name}"{nearest(rule.name, [*RESTRICTIONS, WARN_IF_REJECT, *classes])}'
    return ""


def with_classes(config: Config, rules: Iterable[Rule], classes: Sequence[str], depth: int = 0) -> Iterator[Rule]:
    """The rules, with those of a class in the place of its name.  Raises ValueError for classes that go in circles."""
    if depth > NESTING_LIMIT:
        raise ValueError("the classes refer to each other in a circle")
    for rule in rules:
        if rule.name in RESTRICTIONS or rule.name not in classes:
            yield rule
        else:
            members = config[class_parameter(rule.name)]
            for inner in with_classes(config, members, classes, depth + 1):
                yield Rule(inner.name, inner.argument, True) if rule.warn_only else inner


def closed(rules: Iterable[Rule]) -> bool:
    """Whether something in a list refuses mail from strangers to strangers before any plain `permit`."""
    for rule in rules:
        if rule.name in PROTECTING and not rule.warn_only:
            return True
        if rule.name == "permit":
            return False
    return False
