"""Parameters of address verification: reject_unverified_sender and _recipient in smtpd, and the room `verify`."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, choice, integer, path, seconds, tables, text

VERIFY_DIRECTORY = path("verify_directory", "$data_directory/verify", "Where what is known of addresses is kept.")
ADDRESS_VERIFY_SENDER = text(
    "address_verify_sender",
    "<>",
    """The sender of probes. The null sender, <>, is what RFC 5321 has for mail that must cause no mail; where sites
    refuse it, name an address, which must exist.""",
)
ADDRESS_VERIFY_SMTP_SERVICE = text(
    "address_verify_smtp_service",
    "probe",
    "The service of master.yaml, of the program smtp_client, that asks SMTP servers about addresses.",
)
ADDRESS_VERIFY_LMTP_SERVICE = text(
    "address_verify_lmtp_service", "probe-lmtp", "The same for addresses whose transport speaks LMTP."
)
ADDRESS_VERIFY_POSITIVE_EXPIRE_TIME = seconds(
    "address_verify_positive_expire_time", "31d", "How long an address counts as deliverable without a further probe."
)
ADDRESS_VERIFY_POSITIVE_REFRESH_TIME = seconds(
    "address_verify_positive_refresh_time", "7d", "The age from which a deliverable address is probed again."
)
ADDRESS_VERIFY_NEGATIVE_CACHE = boolean(
    "address_verify_negative_cache", "yes", "Remember addresses that are not deliverable."
)
ADDRESS_VERIFY_NEGATIVE_EXPIRE_TIME = seconds(
    "address_verify_negative_expire_time", "3d", "How long an address counts as undeliverable without a further probe."
)
ADDRESS_VERIFY_NEGATIVE_REFRESH_TIME = seconds(
    "address_verify_negative_refresh_time", "3h", "The age from which an undeliverable address is probed again."
)
ADDRESS_VERIFY_POLL_COUNT = integer(
    "address_verify_poll_count",
    "3",
    "With address_verify_poll_delay: a client waits for (count - 1) times the delay before it is put off.",
    minimum=1,
)
ADDRESS_VERIFY_POLL_DELAY = seconds("address_verify_poll_delay", "3s", "See address_verify_poll_count.")
ADDRESS_VERIFY_PENDING_REQUEST_LIMIT = integer(
    "address_verify_pending_request_limit", "5000", "The most probes under way at once; beyond it clients are put off."
)
ADDRESS_VERIFY_CACHE_CLEANUP_INTERVAL = seconds(
    "address_verify_cache_cleanup_interval", "12h", "How often what has expired is removed from the cache."
)

# --- what smtpd answers
UNVERIFIED_SENDER_REJECT_CODE = integer(
    "unverified_sender_reject_code",
    "450",
    "The reply code of reject_unverified_sender for an undeliverable address; 550 where you are sure of it.",
    minimum=400,
    maximum=599,
)
UNVERIFIED_RECIPIENT_REJECT_CODE = integer(
    "unverified_recipient_reject_code",
    "450",
    "The reply code of reject_unverified_recipient for an undeliverable address; 550 where you are sure of it.",
    minimum=400,
    maximum=599,
)
UNVERIFIED_SENDER_DEFER_CODE = integer(
    "unverified_sender_defer_code", "450", "The same where a probe has failed for now.", minimum=400, maximum=499
)
UNVERIFIED_RECIPIENT_DEFER_CODE = integer(
    "unverified_recipient_defer_code", "450", "The same where a probe has failed for now.", minimum=400, maximum=499
)
UNVERIFIED_SENDER_REJECT_REASON = text(
    "unverified_sender_reject_reason", "", "What clients are told instead of what the probe has found."
)
UNVERIFIED_RECIPIENT_REJECT_REASON = text(
    "unverified_recipient_reject_reason", "", "What clients are told instead of what the probe has found."
)
_TEMPFAIL = ("defer", "defer_if_permit")
UNVERIFIED_SENDER_TEMPFAIL_ACTION = choice(
    "unverified_sender_tempfail_action",
    "$reject_tempfail_action",
    "What reject_unverified_sender does when a probe has failed for now.",
    _TEMPFAIL,
)
UNVERIFIED_RECIPIENT_TEMPFAIL_ACTION = choice(
    "unverified_recipient_tempfail_action",
    "$reject_tempfail_action",
    "What reject_unverified_recipient does when a probe has failed for now.",
    _TEMPFAIL,
)

_SAME = "The same for probes of address verification."
ADDRESS_VERIFY_LOCAL_TRANSPORT = text("address_verify_local_transport", "$local_transport", _SAME)
ADDRESS_VERIFY_VIRTUAL_TRANSPORT = text("address_verify_virtual_transport", "$virtual_transport", _SAME)
ADDRESS_VERIFY_RELAY_TRANSPORT = text("address_verify_relay_transport", "$relay_transport", _SAME)
ADDRESS_VERIFY_DEFAULT_TRANSPORT = text("address_verify_default_transport", "$default_transport", _SAME)
ADDRESS_VERIFY_RELAYHOST = text("address_verify_relayhost", "$relayhost", _SAME)
ADDRESS_VERIFY_TRANSPORT_MAPS = tables("address_verify_transport_maps", "$transport_maps", _SAME)
ADDRESS_VERIFY_SENDER_DEPENDENT_RELAYHOST_MAPS = tables(
    "address_verify_sender_dependent_relayhost_maps", "$sender_dependent_relayhost_maps", _SAME
)
ADDRESS_VERIFY_SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS = tables(
    "address_verify_sender_dependent_default_transport_maps", "$sender_dependent_default_transport_maps", _SAME
)
