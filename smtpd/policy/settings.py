"""The parameters that restrictions read, prepared once per process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pillarbox.lib.config import Config
from pillarbox.lib.config.access import list_problems
from pillarbox.lib.config.parameters import general, lookup, smtpd_access, verify
from pillarbox.lib.config.parameters.content import RECEIVE_OVERRIDE_OPTIONS
from pillarbox.lib.config.restrictions import Rule, class_parameter
from pillarbox.lib.system.interfaces import own_addresses


@dataclass(frozen=True, slots=True)
class Unverified:
    """What is done about addresses that a probe says no to, or that could not be probed."""

    reject_code: int = 450
    defer_code: int = 450
    reason: str = ""
    tempfail_action: str = "defer_if_permit"


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """One service's policy.  Reply codes have the names of their parameters.  Each is equal to itself only."""

    client: tuple[Rule, ...] = ()
    helo: tuple[Rule, ...] = ()
    sender: tuple[Rule, ...] = ()
    relay: tuple[Rule, ...] = ()
    recipient: tuple[Rule, ...] = ()
    data: tuple[Rule, ...] = ()
    end_of_data: tuple[Rule, ...] = ()
    etrn: tuple[Rule, ...] = ()
    classes: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    delay_reject: bool = True
    relay_first: bool = True
    reject_unlisted_recipient: bool = True
    reject_unlisted_sender: bool = False
    show_table: bool = True
    delimiters: str = ""
    parent_keys_with_dot: bool = False
    null_key: str = "<>"
    interfaces: frozenset[str] = frozenset()
    sender_logins: tuple[str, ...] = ("logins:",)
    relay_clientcerts: tuple[str, ...] = ()
    access_map_reject_code: int = 554
    access_map_defer_code: int = 450
    reject_code: int = 554
    defer_code: int = 450
    relay_domains_reject_code: int = 554
    maps_rbl_reject_code: int = 554
    invalid_hostname_reject_code: int = 501
    non_fqdn_reject_code: int = 504
    unknown_address_reject_code: int = 450
    unknown_client_reject_code: int = 450
    unknown_hostname_reject_code: int = 450
    multi_recipient_bounce_reject_code: int = 550
    plaintext_reject_code: int = 450
    unknown_recipient_codes: Mapping[str, int] = field(default_factory=dict)
    """By address class."""
    unverified_sender: Unverified = Unverified()
    unverified_recipient: Unverified = Unverified()
    unknown_address_tempfail_action: str = "defer_if_permit"
    unknown_helo_hostname_tempfail_action: str = "defer_if_permit"
    rbl_reply: str = str(smtpd_access.DEFAULT_RBL_REPLY.default)
    rbl_reply_maps: tuple[str, ...] = ()
    policy_context: str = ""
    policy_default_action: str = str(smtpd_access.SMTPD_POLICY_SERVICE_DEFAULT_ACTION.default)

    @property
    def lists(self) -> tuple[tuple[Rule, ...], ...]:
        """Every list of rules, classes included."""
        own = (self.client, self.helo, self.sender, self.relay, self.recipient, self.data, self.end_of_data, self.etrn)
        return (*own, *self.classes.values())


def configured_settings(config: Config) -> Settings:
    """Raises ValueError for lists that make no sense, or for an open relay."""
    for name, problem in list_problems(config):
        raise ValueError(f"{name}: {problem}")
    access = smtpd_access
    interfaces = config[general.INET_INTERFACES]
    names = config[access.SMTPD_RESTRICTION_CLASSES]
    classes = {name: config[class_parameter(name)] for name in names}
    return Settings(
        client=config[access.SMTPD_CLIENT_RESTRICTIONS],
        helo=config[access.SMTPD_HELO_RESTRICTIONS],
        sender=config[access.SMTPD_SENDER_RESTRICTIONS],
        relay=config[access.SMTPD_RELAY_RESTRICTIONS],
        recipient=config[access.SMTPD_RECIPIENT_RESTRICTIONS],
        data=config[access.SMTPD_DATA_RESTRICTIONS],
        end_of_data=config[access.SMTPD_END_OF_DATA_RESTRICTIONS],
        etrn=config[access.SMTPD_ETRN_RESTRICTIONS],
        classes=classes,
        delay_reject=config[access.SMTPD_DELAY_REJECT],
        relay_first=config[access.SMTPD_RELAY_BEFORE_RECIPIENT_RESTRICTIONS],
        reject_unlisted_recipient=config[access.SMTPD_REJECT_UNLISTED_RECIPIENT]
        and "no_unknown_recipient_checks" not in config[RECEIVE_OVERRIDE_OPTIONS],
        reject_unlisted_sender=config[access.SMTPD_REJECT_UNLISTED_SENDER],
        show_table=config[lookup.SHOW_USER_UNKNOWN_TABLE_NAME],
        delimiters=config[general.RECIPIENT_DELIMITER],
        parent_keys_with_dot="smtpd_access_maps" not in config[lookup.PARENT_DOMAIN_MATCHES_SUBDOMAINS],
        null_key=config[access.SMTPD_NULL_ACCESS_LOOKUP_KEY],
        interfaces=own_addresses(interfaces),
        sender_logins=config[access.SMTPD_SENDER_LOGIN_MAPS],
        relay_clientcerts=config[access.RELAY_CLIENTCERTS],
        access_map_reject_code=config[access.ACCESS_MAP_REJECT_CODE],
        access_map_defer_code=config[access.ACCESS_MAP_DEFER_CODE],
        reject_code=config[access.REJECT_CODE],
        defer_code=config[access.DEFER_CODE],
        relay_domains_reject_code=config[access.RELAY_DOMAINS_REJECT_CODE],
        maps_rbl_reject_code=config[access.MAPS_RBL_REJECT_CODE],
        invalid_hostname_reject_code=config[access.INVALID_HOSTNAME_REJECT_CODE],
        non_fqdn_reject_code=config[access.NON_FQDN_REJECT_CODE],
        unknown_address_reject_code=config[access.UNKNOWN_ADDRESS_REJECT_CODE],
        unknown_client_reject_code=config[access.UNKNOWN_CLIENT_REJECT_CODE],
        unknown_hostname_reject_code=config[access.UNKNOWN_HOSTNAME_REJECT_CODE],
        multi_recipient_bounce_reject_code=config[access.MULTI_RECIPIENT_BOUNCE_REJECT_CODE],
        plaintext_reject_code=config[access.PLAINTEXT_REJECT_CODE],
        unknown_recipient_codes={
            "local": config[access.UNKNOWN_LOCAL_RECIPIENT_REJECT_CODE],
            "virtual_alias": config[access.UNKNOWN_VIRTUAL_ALIAS_REJECT_CODE],
            "virtual_mailbox": config[access.UNKNOWN_VIRTUAL_MAILBOX_REJECT_CODE],
            "relay": config[access.UNKNOWN_RELAY_RECIPIENT_REJECT_CODE],
        },
        unverified_sender=Unverified(
            config[verify.UNVERIFIED_SENDER_REJECT_CODE],
            config[verify.UNVERIFIED_SENDER_DEFER_CODE],
            config[verify.UNVERIFIED_SENDER_REJECT_REASON],
            config[verify.UNVERIFIED_SENDER_TEMPFAIL_ACTION],
        ),
        unverified_recipient=Unverified(
            config[verify.UNVERIFIED_RECIPIENT_REJECT_CODE],
            config[verify.UNVERIFIED_RECIPIENT_DEFER_CODE],
            config[verify.UNVERIFIED_RECIPIENT_REJECT_REASON],
            config[verify.UNVERIFIED_RECIPIENT_TEMPFAIL_ACTION],
        ),
        unknown_address_tempfail_action=config[access.UNKNOWN_ADDRESS_TEMPFAIL_ACTION],
        unknown_helo_hostname_tempfail_action=config[access.UNKNOWN_HELO_HOSTNAME_TEMPFAIL_ACTION],
        rbl_reply=config[access.DEFAULT_RBL_REPLY],
        rbl_reply_maps=config[access.RBL_REPLY_MAPS],
        policy_context=config[access.SMTPD_POLICY_SERVICE_POLICY_CONTEXT],
        policy_default_action=config[access.SMTPD_POLICY_SERVICE_DEFAULT_ACTION],
    )
