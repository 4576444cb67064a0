"""The lists of milters: smtpd_milters and its like."""

from __future__ import annotations

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.config.milters import MilterSpec, parse_endpoint, parse_milters, parse_protocol
from pillarbox.lib.config.parameters import milter as parameters
from pillarbox.lib.config.services import Service
from pillarbox.lib.milter.configured import all_endpoints, configured_macros, macro_defaults, milters_of
from pillarbox.lib.milter.packets import CONNECT, END, UNKNOWN

DEFAULTS = MilterSpec("", 30.0, 30.0, 300.0, "shutdown", "6")


def test_plain_endpoints() -> None:
    found = parse_milters("inet:localhost:8891, unix:/run/x.sock local:y inet:[::1]:25", DEFAULTS)
    assert [spec.endpoint for spec in found] == ["inet:localhost:8891", "unix:/run/x.sock", "local:y", "inet:[::1]:25"]
    assert found[0] == MilterSpec("inet:localhost:8891")


def test_settings_of_one_milter() -> None:
    text = (
        "{ inet:a:1, default_action=accept, connect_timeout=10s command_timeout = 1m, content_timeout={2m} }, inet:b:2"
    )
    first, second = parse_milters(text, DEFAULTS)
    assert first == MilterSpec("inet:a:1", 10.0, 60.0, 120.0, "accept")
    assert second == MilterSpec("inet:b:2")


def test_old_protocols() -> None:
    (spec,) = parse_milters("{ inet:a:1, protocol=2 }", DEFAULTS)
    assert (spec.version, spec.no_header_reply) == (2, False)
    assert parse_protocol("3 no_header_reply") == (3, True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("localhost:25", "expected"),
        ("inet:25@localhost", "expected"),
        ("inet:localhost:0", "no port"),
        ("inet:localhost:70000", "no port"),
        ("unix:", "expected"),
        ("{ inet:a:1, default_action=drop }", "default_action"),
        ("{ inet:a:1, connect_timeout=soon }", "time"),
        ("{ inet:a:1, speed=fast }", "no setting"),
        ("{ inet:a:1, fast }", "name=value"),
        ("{ inet:a:1, protocol=5 }", "2, 3, 4 or 6"),
        ("{ }", "expected"),
        ("{ inet:a:1", "brace"),
    ],
)
def test_what_is_no_milter(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_milters(text, DEFAULTS)
    with pytest.raises(ValueError, match=reason):
        Config.for_tests(smtpd_milters=text)[parameters.SMTPD_MILTERS]


def test_endpoints() -> None:
    assert parse_endpoint("inet:[::1]:25") == ("::1", 25)
    assert parse_endpoint("unix:private/rspamd") == ("private/rspamd", 0)


def test_the_defaults_of_a_configuration() -> None:
    config = Config.for_tests(milter_default_action="accept", milter_protocol="4 no_header_reply")
    (spec,) = milters_of(config, "inet:a:1")
    assert spec == MilterSpec("inet:a:1", 30.0, 30.0, 300.0, "accept", "4 no_header_reply")
    assert milters_of(config, "DISABLE") == ()


def test_the_room_knows_the_milters_of_all_services() -> None:
    service = Service("submission", "smtpd", options={"smtpd_milters": "{ inet:sign:2, default_action=accept }"})
    config = Config({"smtpd_milters": "inet:check:1", "non_smtpd_milters": "unix:/x"}, {"submission": service})
    assert all_endpoints(config) == {"inet:check:1", "unix:/x", "inet:sign:2"}


def test_macros() -> None:
    config = Config.for_tests(milter_macro_defaults="auth_type=none, { {client_ptr} = not known }")
    assert configured_macros(config)[CONNECT] == ("j", "daemon_name", "daemon_addr", "v", "_")
    assert configured_macros(config)[END] == ("i",) and configured_macros(config)[UNKNOWN] == ()
    assert macro_defaults(config) == {"auth_type": "none", "client_ptr": "not known"}
