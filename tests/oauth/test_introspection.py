"""What the server's answer means: verdicts, and answers that are none."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.clients.oauth import TokenAnswer
from pillarbox.oauth.introspection import Rules, Unusable, judge

NOW = 1_795_319_643.0
RULES = Rules()
STRICT = Rules(
    "email", frozenset(("mail", "smtp")), frozenset(("mx.example",)), "https://as.example", "https://as/conf"
)


def verdict(claims: Any, rules: Rules = RULES, status: int = 200) -> TokenAnswer:
    return judge(status, json.dumps(claims).encode(), rules, NOW)[0]


def test_an_active_token_names_its_user_and_its_end() -> None:
    body = json.dumps({"active": True, "username": "ann@example.com", "exp": NOW + 100, "extra": [1]}).encode()
    assert judge(200, body, RULES, NOW) == (TokenAnswer("ann@example.com"), NOW + 100)
    body = json.dumps({"active": True, "username": "ann@example.com"}).encode()
    assert judge(200, body, RULES, NOW) == (TokenAnswer("ann@example.com"), math.inf)


def test_an_inactive_token_is_invalid() -> None:
    assert verdict({"active": False}) == TokenAnswer("", "invalid_token")
    assert verdict({"active": False, "username": "ann@example.com"}) == TokenAnswer("", "invalid_token")


@pytest.mark.parametrize("times", [{"exp": NOW - 61}, {"nbf": NOW + 61}, {"exp": -1}, {"exp": 0}])
def test_a_token_out_of_its_time_is_invalid_whatever_the_server_says(times: dict[str, float]) -> None:
    assert verdict({"active": True, "username": "ann", **times}).status == "invalid_token"


FULL = {
    "active": True,
    "email": "ann@example.com",
    "email_verified": True,
    "scope": "openid mail smtp",
    "aud": ["other", "mx.example"],
    "iss": "https://as.example",
}


def test_a_token_that_keeps_all_rules() -> None:
    assert verdict(FULL, STRICT) == TokenAnswer("ann@example.com")
    assert verdict({**FULL, "aud": "mx.example", "scope": ["mail", "smtp"]}, STRICT) == TokenAnswer("ann@example.com")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"scope": "mail"}, "insufficient_scope"),
        ({"scope": None}, "insufficient_scope"),
        ({"scope": "mailsmtp"}, "insufficient_scope"),
        ({"aud": "mx.example.evil"}, "invalid_token"),
        ({"aud": None}, "invalid_token"),
        ({"aud": []}, "invalid_token"),
        ({"aud": {"mx.example": 1}}, "invalid_token"),
        ({"iss": "https://as.example.evil"}, "invalid_token"),
        ({"iss": None}, "invalid_token"),
    ],
)
def test_a_token_that_breaks_a_rule(change: dict[str, Any], status: str) -> None:
    assert verdict({**FULL, **change}, STRICT) == TokenAnswer("", status, "mail smtp", "https://as/conf")


@pytest.mark.parametrize("status", [100, 201, 204, 301, 302, 307, 400, 401, 403, 404, 429, 500, 503])
def test_another_status_is_no_answer(status: int) -> None:
    with pytest.raises(Unusable, match=f"HTTP status {status}"):
        verdict({"active": True, "username": "ann"}, status=status)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"true",
        b"[]",
        b'"active"',
        b"<html>",
        b"\xff",
        b"{}",
        b'{"active": "true"}',
        b'{"active": 1}',
        b'{"active": null}',
        b'{"active": true}',
        b'{"active": true, "username": ""}',
        b'{"active": true, "username": 7}',
        b'{"active": true, "username": ["ann"]}',
        b'{"active": true, "username": "ann\\nbob"}',
        b'{"active": true, "username": "' + b"x" * 321 + b'"}',
        b'{"active": true, "username": "ann", "exp": "soon"}',
        b'{"active": true, "username": "ann", "exp": true}',
        b'{"active": true, "username": "ann", "exp": NaN}',
        b'{"active": true, "username": "ann", "nbf": {}}',
        b"[" * 100_000,
        b'{"active": true, "username": "ann"',
    ],
)
def test_nonsense_is_no_answer(body: bytes) -> None:
    with pytest.raises(Unusable):
        judge(200, body, RULES, NOW)


@pytest.mark.parametrize("number", ["1e999", "1" + "0" * 400])
def test_a_time_beyond_all_time_is_taken(number: str) -> None:
    body = f'{{"active": true, "username": "ann", "exp": {number}}}'.encode()
    assert judge(200, body, RULES, NOW)[0] == TokenAnswer("ann")


def test_an_unverified_email_is_nobody() -> None:
    with pytest.raises(Unusable, match="not verified"):
        verdict({**FULL, "email_verified": False}, STRICT)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["active", "exp", "aud"]), inner),
        max_leaves=5,
    )
)
def test_any_json_is_a_verdict_or_refused(claims: Any) -> None:
    try:
        verdict(claims, STRICT)
    except Unusable:
        pass
