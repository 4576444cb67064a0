"""The function of each restriction by its name in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from pillarbox.smtpd.policy import addresses, blocklists, certificates, client, generic, helo, login, relay, tables
from pillarbox.smtpd.policy.delegation import check_policy_service
from pillarbox.smtpd.policy.greylist import reject_greylisted
from pillarbox.smtpd.policy.outcome import Decision
from pillarbox.smtpd.policy.run import Run
from pillarbox.smtpd.policy.servers import SERVER_CHECKS
from pillarbox.smtpd.policy.verification import reject_unverified_recipient, reject_unverified_sender

Restriction: TypeAlias = Callable[[Run, str], Decision]

FUNCTIONS: Final[Mapping[str, Restriction]] = {
    function.__name__: function
    for function in (
        generic.permit,
        generic.reject,
        generic.defer,
        generic.defer_if_permit,
        generic.defer_if_reject,
        generic.sleep,
        generic.reject_unauth_pipelining,
        generic.reject_plaintext_session,
        generic.reject_multi_recipient_bounce,
        client.permit_mynetworks,
        client.permit_inet_interfaces,
        client.permit_sasl_authenticated,
        client.reject_unknown_client_hostname,
        client.reject_unknown_reverse_client_hostname,
        certificates.permit_tls_clientcerts,
        certificates.permit_tls_all_clientcerts,
        helo.reject_invalid_helo_hostname,
        helo.reject_non_fqdn_helo_hostname,
        helo.reject_unknown_helo_hostname,
        addresses.reject_non_fqdn_sender,
        addresses.reject_non_fqdn_recipient,
        addresses.reject_unknown_sender_domain,
        addresses.reject_unknown_recipient_domain,
        addresses.reject_unlisted_sender,
        addresses.reject_unlisted_recipient,
        login.reject_sender_login_mismatch,
        login.reject_authenticated_sender_login_mismatch,
        login.reject_known_sender_login_mismatch,
        login.reject_unauthenticated_sender_login_mismatch,
        relay.permit_auth_destination,
        relay.reject_unauth_destination,
        relay.defer_unauth_destination,
        blocklists.reject_rbl_client,
        blocklists.reject_rhsbl_client,
        blocklists.reject_rhsbl_reverse_client,
        blocklists.reject_rhsbl_helo,
        blocklists.reject_rhsbl_sender,
        blocklists.reject_rhsbl_recipient,
        blocklists.permit_dnswl_client,
        blocklists.permit_rhswl_client,
        tables.check_client_access,
        tables.check_reverse_client_hostname_access,
        tables.check_helo_access,
        tables.check_sender_access,
        tables.check_recipient_access,
        tables.check_etrn_access,
        tables.check_sasl_access,
        tables.check_ccert_access,
        check_policy_service,
        reject_greylisted,
        reject_unverified_sender,
        reject_unverified_recipient,
    )
} | SERVER_CHECKS
