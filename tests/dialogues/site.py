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
}
"""Services beside the shipped ones, on ports of their own from FIRST_PORT on; all speak SMTP like `smtp`."""

_SETTINGS = {
    # To the scenarios 127.0.0.1 is a stranger, who makes many errors and connections.
    "mynetworks": "192.0.2.0/24",
    "smtpd_client_event_limit_exceptions": "127.0.0.0/8",
    "smtpd_error_sleep_time": "0s",
    "auth_failure_delay": "0s",
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
