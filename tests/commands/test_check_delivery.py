"""What `pillarbox check` says about the way out: tables, next hops, logins, TLS, addresses, the texts of reports."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.commands.check import obstacles
from pillarbox.commands.check_delivery import look_at_delivery
from pillarbox.commands.check_passwords import look_at_passwords
from pillarbox.commands.check_tables import look_at_tables
from pillarbox.lib.config import load
from pillarbox.lib.process.program import load_program
from pillarbox.lib.tables.listing import contents

SERVICES = """
smtp: {command: smtp_client}
lmtp: {command: smtp_client}
qmgr: {command: qmgr, listen: public}
mta_sts: {command: mta_sts}
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    contents.cache_clear()


def findings(instance: Path, settings: str, services: str = SERVICES) -> list[str]:
    etc = instance / "etc"
    (etc / "main.yaml").write_text(f"myhostname: mx.test\ndns_resolver: 127.0.0.1\n{settings}\n")
    (etc / "master.yaml").write_text(services)
    config = load(str(etc))
    programs = itertools.chain.from_iterable(
        load_program(service.command).mistakes(config.for_service(service)) for service in config.services.values()
    )
    tables = [*look_at_tables(config), *look_at_passwords(config)]
    return list(dict.fromkeys([*tables, *look_at_delivery(config), *obstacles(config), *programs]))


def table(instance: Path, text: str) -> str:
    path = instance / "table"
    path.write_text(text)
    return f"texthash:{path}"


def test_nothing(instance: Path) -> None:
    policies = table(instance, "a.test encrypt\n[b.test]:587 secure match=.b.test\n")
    settings = f"""
smtp_tls_policy_maps: {policies}
transport_maps: inline:{{c.test=lmtp:unix:private/x, d.test=smtp:[e.test]:26, e.test=error:gone}}
relayhost: "[f.test]:587, g.test"
source_addresses: 127.0.0.1 out.test
warm_up: {{127.0.0.1: {{since: 2026-11-01, per_day: [5]}}}}
smtp_sasl_auth_enable: yes
smtp_sasl_password_maps: inline:{{f.test=me:secret}}
"""
    assert findings(instance, settings) == []


@pytest.mark.parametrize(
    ("setting", "finding"),
    [
        (
            "suppression_maps: hash:/nonexistent/x",
            "suppression_maps: hash:/nonexistent/x: there is no file /nonexistent/",
        ),
        ("smtp_sasl_password_maps: hsah:/x", "smtp_sasl_password_maps: unsupported dictionary type: hsah"),
        ("smtp_tls_policy_maps: inline:{a.test=encrpyt}", 'a.test: "encrpyt" is no TLS security level'),
        ("smtp_tls_policy_maps: inline:{a.test=fingerprint}", "the level fingerprint needs match="),
        ("smtp_tls_protocols: TLSv9", 'smtp_tls_protocols: "TLSv9"'),
        ("smtp_tls_CAfile: /nonexistent/ca", "/nonexistent/ca"),
        ("smtp_tls_security_level: dane-only\ndnssec_validation: none", "the level dane-only is useless"),
        ("smtp_sasl_auth_enable: yes", "without smtp_sasl_password_maps"),
        ("relayhost: '[a.test'", 'relayhost: "[host]" or "[host]:port" was expected'),
        ("smtp_fallback_relay: a.test:x", "smtp_fallback_relay: a port was expected"),
        ("sender_dependent_relayhost_maps: 'inline:{a@b.test=[c]:0}'", "a@b.test: a port was expected"),
        ("transport_maps: inline:{a.test=smpt:b}", 'master.yaml has no service "smpt"; did you mean "smtp"?'),
        ("transport_maps: inline:{a.test=smtp:b:x}", "transport_maps: inline:{a.test=smtp:b:x}: a.test: a port was"),
        ("defer_transports: smpt", 'defer_transports: master.yaml has no service "smpt"'),
        ("source_addresses: 192.0.2.5", "this machine has no address 192.0.2.5"),
        ("smtp_bind_address: nowhere", 'smtp_bind_address: an IP address was expected, not "nowhere"'),
        ("warm_up: {127.0.0.9: {since: 2026-11-01, per_day: [5]}}", "127.0.0.9 is none of source_addresses"),
        ("suppression_bounce_limit: 3", "no effect without suppression_enable"),
        ("bounce_template_file: /nonexistent/t", "bounce_template_file /nonexistent/t"),
        (
            "fast_flush_domains: 'a.test, hash:/nonexistent/x'",
            "fast_flush_domains: hash:/nonexistent/x: there is no file",
        ),
        ("smtp_client_ports: 25, foo", 'smtp_client_ports: a port was expected, not "foo"'),
        ("smtp_tlsrpt_enable: yes", 'smtp_tlsrpt_enable: master.yaml has no service "tlsrpt"; add it'),
        ("lmtp_tcp_port: abc", "lmtp_tcp_port: a port was expected"),
    ],
)
def test_a_mistake(instance: Path, setting: str, finding: str) -> None:
    (found,) = findings(instance, setting)
    assert finding in found


def test_a_password_is_not_shown(instance: Path) -> None:
    tables = table(instance, "a.test topsecret\n")
    (found,) = findings(instance, f"smtp_sasl_auth_enable: yes\nsmtp_sasl_password_maps: {tables}")
    assert '"name:password" was expected' in found and "topsecret" not in found


def test_a_limit_in_the_options_of_a_service(instance: Path) -> None:
    services = SERVICES + "slow: {command: smtp_client, options: {slow_destination_rate_delay: 5s}}\n"
    (found,) = findings(instance, "", services)
    assert found == (
        "master.yaml: slow: slow_destination_rate_delay: has no effect here; "
        "write slow_destination_rate_delay into main.yaml"
    )


def test_tables_of_one_service(instance: Path) -> None:
    services = SERVICES + "other: {command: smtp_client, options: {smtp_tls_policy_maps: 'inline:{a.test=x}'}}\n"
    (found,) = findings(instance, "", services)
    assert '"x" is no TLS security level' in found
