"""The instance that the scenarios speak to: the shipped services, and some with settings of their own."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import yaml

from tests.e2e.wire import ALICE, BOB, PASSWORD
from tests.lab.instance import Instance

FIRST_PORT = 1101
"""Ten ports apart: so none of them is another instance's standard port, since base ports are multiples of ten."""

_TRUSTING = {"mynetworks": "127.0.0.0/8"}
SERVICES: dict[str, dict[str, object]] = {
    "inside": _TRUSTING,
    "strict": {
        "strict_rfc821_envelopes": "yes",
        "smtpd_helo_required": "yes",
        "disable_vrfy_command": "yes",
        "smtpd_forbid_bare_newline": "reject",
        "smtpd_discard_ehlo_keywords": "CHUNKING, DSN, SMTPUTF8",
    },
    "small": {"message_size_limit": "2000", "smtpd_recipient_limit": "3", "smtpd_recipient_overshoot_limit": "2"},
    "brief": {"smtpd_timeout": "1s", "smtpd_starttls_timeout": "1s"},
    "impatient": {"smtpd_hard_error_limit": "3", "smtpd_soft_error_limit": "0", "smtpd_junk_command_limit": "2"},
    "encrypted": {"smtpd_tls_security_level": "encrypt"},
    "lax": {"smtpd_forbid_bare_newline": "no", "smtpd_forbid_unauth_pipelining": "no"},
    "soft": {"soft_bounce": "yes"},
    "authed": {"smtpd_sasl_auth_enable": "yes"},
    "proxied": {
        **_TRUSTING,
        "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
        "smtpd_authorized_xforward_hosts": "127.0.0.0/8",
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_recipient_restrictions": "check_client_access cidr:{{198.51.100.0/24 REJECT go away}}",
        "mynetworks": "192.0.2.0/24",
    },
    "haproxy": {
        "smtpd_upstream_proxy_protocol": "haproxy",
        "smtpd_upstream_proxy_hosts": "127.0.0.0/8",
        "smtpd_upstream_proxy_timeout": "2s",
    },
    "limited": {"smtpd_session_message_limit": "2", "smtpd_recipient_limit": "2", "smtpd_recipient_domain_limit": "1"},
    "later": {**_TRUSTING, "smtpd_future_release_limit": "1d", "smtpd_deliver_by_minimum": "600s"},
    "listing": {**_TRUSTING, "smtpd_expn_networks": "127.0.0.0/8"},
    "queueing": _TRUSTING,
    "policed": {
        "smtpd_helo_restrictions": "reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname",
        "smtpd_sender_restrictions": """reject_non_fqdn_sender,
            check_sender_access inline:{{ bad@client.example = REJECT not you },
            { hold@client.example = HOLD suspicious }, { discard@client.example = DISCARD unwanted },
            { soft@client.example = 450 4.7.1 come back }, { quit@client.example = 521 5.7.1 leave },
            { defer@client.example = DEFER_IF_PERMIT maybe }, { warn@client.example = WARN look at this },
            { prepend@client.example = PREPEND X-Seen: by policy },
            { redirect@client.example = REDIRECT alice@example.org },
            { copy@client.example = BCC alice@example.org }}""",
        "smtpd_recipient_restrictions": "reject_unauth_pipelining, reject_non_fqdn_recipient",
        "smtpd_data_restrictions": "reject_multi_recipient_bounce",
    },
    "at_once": {
        "smtpd_delay_reject": "no",
        "smtpd_client_restrictions": "check_client_access cidr:{{127.0.0.0/8 554 5.7.1 not from here}}",
    },
    "at_hello": {
        "smtpd_delay_reject": "no",
        "smtpd_helo_restrictions": "check_helo_access inline:{{ bad.example = REJECT bad name }}",
        "smtpd_sender_restrictions": "check_sender_access inline:{{ bad@client.example = REJECT bad sender }}",
    },
    "patient": {"smtpd_greet_wait": "1s", "smtpd_greet_action": "enforce", "smtpd_screening": "yes"},
    "grey": {"smtpd_greylisting": "yes", "smtpd_screening": "yes"},
    "broken": {"smtpd_recipient_restrictions": "check_policy_service unix:/nonexistent/policy"},
}
"""Services beside the shipped ones, on ports of their own from FIRST_PORT on; all speak SMTP like `smtp`."""

_SETTINGS = {
    # To the scenarios 127.0.0.1 is a stranger, who makes many errors and connections.
    "mynetworks": "192.0.2.0/24",
    "smtpd_client_event_limit_exceptions": "127.0.0.0/8",
    "smtpd_error_sleep_time": "0s",
    "auth_failure_delay": "0s",
    "relay_domains": "relayed.example",
}


@contextlib.contextmanager
def running() -> Iterator[Instance]:
    """The instance, with one process per service so that a scenario meets what the one before has left."""
    instance = Instance(users={BOB: PASSWORD, ALICE: PASSWORD}, settings=_SETTINGS)
    try:
        instance.init()
        path = instance.config / "master.yaml"
        text = re.sub(r"(?m)^  (processes|warm): .*\n", "", path.read_text())
        more = {
            name: {"command": "smtpd", "listen": f"inet:{FIRST_PORT + 10 * number}", "options": options}
            for number, (name, options) in enumerate(SERVICES.items())
        }
        path.write_text(text + "\n" + yaml.safe_dump(more))
        instance.start()
        yield instance
    finally:
        instance.show_log()
        instance.close()


def port(instance: Instance, service: str) -> int:
    """The port of a service."""
    if service in SERVICES:
        return instance.base_port + FIRST_PORT + 10 * list(SERVICES).index(service)
    return instance.port(service)
