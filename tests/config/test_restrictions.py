"""Restriction lists in the configuration: mistakes are named with file, line, key and the nearest valid name."""

# ruff: noqa: E501  (a message stands here as people see it)
from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.config import Config, ConfigError, load
from pillarbox.lib.config.access import access_tables
from pillarbox.lib.config.delegation import parse_policy_server
from pillarbox.lib.config.parameters.smtpd_access import SMTPD_RECIPIENT_RESTRICTIONS
from pillarbox.lib.config.restrictions import Rule, parse_rules

MASTER = "smtpd: {command: smtpd}\nsubmission:\n  command: smtpd\n  options:\n    smtpd_relay_restrictions: permit_sasl_authenticated, reject\n"


def loaded(directory: Path, main: str, master: str = MASTER) -> Config:
    etc = directory / "etc"
    etc.mkdir(exist_ok=True)
    (etc / "main.yaml").write_text(main)
    (etc / "master.yaml").write_text(master)
    return load(str(etc))


def problems(directory: Path, main: str, master: str = MASTER) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(directory, main, master)
    return [str(problem).replace(f"{directory}/etc/", "") for problem in caught.value.problems]


def test_a_list_is_read() -> None:
    text = "permit_mynetworks, warn_if_reject reject_rbl_client bl.test=127.0.0.[2..4] hash:/t, sleep 3, Reject_Unknown_Client"
    assert parse_rules(text, "check_client_access") == (
        Rule("permit_mynetworks"),
        Rule("reject_rbl_client", "bl.test=127.0.0.[2..4]", True),
        Rule("check_client_access", "hash:/t"),
        Rule("sleep", "3"),
        Rule("reject_unknown_client_hostname"),
    )


def test_a_yaml_list_is_the_same() -> None:
    items = ("check_sender_access inline:{a.test=REJECT, {b.test = 450 4.7.1 no}}", "reject")
    assert parse_rules(items)[0].argument == "inline:{a.test=REJECT, {b.test = 450 4.7.1 no}}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("permit_mynetwork", 'unknown restriction "permit_mynetwork"; did you mean "permit_mynetworks"?'),
        ("reject_rbl_client", "reject_rbl_client needs an argument"),
        ("reject_rbl_client bl.test=1.2.3", 'reject_rbl_client: an address such as 127.0.0.2 or 127.0.0.[2..11] was expected behind "=", not "1.2.3"'),
        ("check_client_access /etc/x", 'check_client_access: a table "type:name" was expected, not "/etc/x"'),
        ("check_policy_service 127.0.0.1:1", 'check_policy_service: a server such as inet:127.0.0.1:10023 or unix:private/policy was expected, not "127.0.0.1:1"'),
        ("check_policy_service { inet:a:1, timout=3s }", 'check_policy_service: "timout" is no setting of a policy server; did you mean "timeout"?'),
        ("check_policy_service { inet:a:1, timeout=3y }", 'check_policy_service: a time such as "30s", "5m", "4h" or "5d" was expected'),
        ("sleep long", 'sleep: a number of seconds was expected, not "long"'),
        ("warn_if_reject", "warn_if_reject needs a restriction behind it"),
        ("permit_naked_ip_address", '"permit_naked_ip_address" is not supported; use permit_mynetworks or permit_sasl_authenticated'),
        ("check_relay_domains", '"check_relay_domains" is not supported; use permit_mynetworks, reject_unauth_destination'),
        ("check_ccert_access { hash:x, { search_order = colour } }", 'check_ccert_access: "search_order = cert_fingerprint pubkey_fingerprint" was expected, not "{ search_order = colour }"'),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    for name in ("smtpd_recipient_restrictions", "smtpd_helo_restrictions"):
        assert problems(tmp_path, f"\n{name}: '{text}'\n") == [f"main.yaml, line 2: {name}: {problem}"]


def test_a_mistake_in_the_options_of_a_service(tmp_path: Path) -> None:
    master = "smtpd:\n  command: smtpd\n  options:\n    smtpd_client_restrictions: permit_mynetwork\n"
    expected = 'master.yaml, line 4: smtpd_client_restrictions: unknown restriction "permit_mynetwork"; did you mean "permit_mynetworks"?'
    assert problems(tmp_path, "", master) == [expected]


def test_an_open_relay_is_named_where_it_is_made(tmp_path: Path) -> None:
    text = "an open relay: here or in smtpd_recipient_restrictions, specify at least one working instance of reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit"
    assert problems(tmp_path, "smtpd_relay_restrictions: permit\n") == [
        f"main.yaml, line 1: smtpd_relay_restrictions: {text}"
    ]
    master = "smtpd:\n  command: smtpd\n  options:\n    smtpd_relay_restrictions: permit\n"
    assert problems(tmp_path, "", master) == [f"master.yaml, line 4: smtpd_relay_restrictions: {text}"]


class TestClasses:
    def test_a_class_is_a_parameter(self, tmp_path: Path) -> None:
        config = loaded(
            tmp_path,
            "smtpd_restriction_classes: [strict]\nstrict: [reject_non_fqdn_sender, reject]\nsmtpd_recipient_restrictions: strict\n",
        )
        assert config[SMTPD_RECIPIENT_RESTRICTIONS] == (Rule("strict"),)

    def test_a_service_has_classes_of_its_own_and_those_of_all(self, tmp_path: Path) -> None:
        master = (
            "smtpd:\n  command: smtpd\n  options:\n    smtpd_restriction_classes: $common, own\n"
            "    own: reject\n    strict: defer\n    smtpd_client_restrictions: own, strict\n"
        ).replace("$common, ", "strict, ")
        config = loaded(tmp_path, "smtpd_restriction_classes: strict\nstrict: reject\n", master)
        assert config.for_service(config.services["smtpd"]).raw("strict") == "defer"

    @pytest.mark.parametrize(
        ("main", "problem"),
        [
            ("strict: reject\n", "main.yaml, line 1: strict: unknown parameter"),
            ("smtpd_restriction_classes: strict\n", 'main.yaml, line 1: smtpd_restriction_classes: the class "strict" is set nowhere'),
            ("smtpd_restriction_classes: reject\n", 'main.yaml, line 1: smtpd_restriction_classes: "reject" cannot be the name of a class: letters, digits, "_" and "-", and no restriction'),
            ("smtpd_restriction_classes: strict\nstrict: rejekt\n", 'main.yaml, line 2: strict: unknown restriction "rejekt"; did you mean "reject"?'),
            ("smtpd_restriction_classes: a1, a2\na1: a2\na2: a1\n", "main.yaml, line 1: smtpd_restriction_classes: the classes refer to each other in a circle"),
            ("smtpd_restriction_classes: strict\nstrict: reject_rbl_client\n", "main.yaml, line 2: strict: reject_rbl_client needs an argument"),
        ],
    )  # fmt: skip
    def test_mistakes(self, tmp_path: Path, main: str, problem: str) -> None:
        assert problem in problems(tmp_path, main)


def test_the_tables_that_policy_may_ask(tmp_path: Path) -> None:
    main = (
        "smtpd_client_restrictions: hash:/a, check_client_mx_access hash:/b\nsmtpd_restriction_classes: c\n"
        "c: check_ccert_access {hash:/c, {search_order=cert_fingerprint}}\nrbl_reply_maps: hash:/d\n"
        "smtp_tls_policy_maps: hash:/g\n"
    )
    master = (
        "smtpd:\n  command: smtpd\n  options:\n    smtpd_sender_restrictions: hash:/e\n    smtpd_sender_login_maps: hash:/f\n"
        "smtp:\n  command: smtp_client\n  options:\n    smtp_tls_policy_maps: hash:/h\n"
        "    smtp_sasl_password_maps: hash:/secret\n"
    )
    found = set(access_tables(loaded(tmp_path, main, master)))
    assert found == {*(f"hash:/{name}" for name in "abcdefgh"), "logins:"}


class TestPolicyServers:
    def test_addresses(self) -> None:
        assert str(parse_policy_server("inet:127.0.0.1:10023")) == "inet:127.0.0.1:10023"
        assert str(parse_policy_server("inet:[::1]:10023")) == "inet:::1:10023"
        assert str(parse_policy_server("inet:10023")) == "inet:127.0.0.1:10023"
        assert str(parse_policy_server("unix:private/policy")) == "unix:private/policy"

    def test_settings(self) -> None:
        server = parse_policy_server(
            "{ inet:h.test:1, timeout=10s, try_limit = 1, { default_action = 450 4.7.1 not now } }"
        )
        assert (server.times, server.counts, server.texts) == (
            {"timeout": 10.0},
            {"try_limit": 1},
            {"default_action": "450 4.7.1 not now"},
        )

    @pytest.mark.parametrize(
        "text", ["inet:", "inet:h:0", "inet:h:70000", "unix:", "{}", "{ }", "{ inet:h:1, x }", "inet:[::zz]:1"]
    )
    def test_nonsense(self, text: str) -> None:
        with pytest.raises(ValueError):
            parse_policy_server(text)
