"""What the authorization server's answer means (RFC 7662 section 2.2): whose the token is, or why it is not good here.

Pure: bytes and rules in, a verdict out.  What is no answer at all raises `Unusable`: nobody can tell, try later.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from pillarbox.lib.clients.oauth import TokenAnswer
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import oauth as parameters

NAME_LIMIT = 320
"""Characters of a user name: the longest address."""

LATEST = 1 << 40
"""Seconds since the epoch; a later time is this one."""

CLOCK_SKEW = 60.0
"""Seconds by which the server's clock may differ from ours."""


class Unusable(Exception):
    """The server has not answered the question."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What makes a token good for us."""

    claim: str = "username"
    scopes: frozenset[str] = frozenset()
    audience: frozenset[str] = frozenset()
    issuer: str = ""
    configuration: str = ""

    @classmethod
    def configured(cls, config: Config) -> Rules:
        """As the parameters say."""
        scopes, audience = config[parameters.OAUTH_SCOPES], config[parameters.OAUTH_AUDIENCE]
        return cls(
            config[parameters.OAUTH_USERNAME_CLAIM],
            frozenset(scopes),
            frozenset(audience),
            config[parameters.OAUTH_ISSUER],
            config[parameters.OAUTH_OPENID_CONFIGURATION],
        )

    def refusal(self, status: str) -> TokenAnswer:
        """The answer for a token that is not good."""
        return TokenAnswer("", status, " ".join(sorted(self.scopes)), self.configuration)


def judge(status: int, body: bytes, rules: Rules, now: float) -> tuple[TokenAnswer, float]:
    """The verdict and until when it holds (seconds since the epoch; infinity where the server does not say).

    Raises Unusable.
    """
    if status != 200:
        hint = ""
        if status in (401, 403):
            hint = ": it does not accept our credentials (oauth_credentials_file)"
        elif 300 <= status < 400:
            hint = ": redirects are not followed (oauth_introspection_url)"
        raise Unusable(f"the authorization server answered with HTTP status {status}{hint}")
    claims = _object(body)
    active = claims.get("active")
    if not isinstance(active, bool):
        raise Unusable('the authorization server\'s answer has no member "active" that is true or false')
    if not active:
        return rules.refusal("invalid_token"), now
    expires = _time(claims, "exp", math.inf)
    if expires <= now - CLOCK_SKEW or _time(claims, "nbf", 0.0) > now + CLOCK_SKEW:
        return rules.refusal("invalid_token"), now
    if rules.issuer and claims.get("iss") != rules.issuer:
        return rules.refusal("invalid_token"), now
    if rules.audience and rules.audience.isdisjoint(_strings(claims.get("aud"))):
        return rules.refusal("invalid_token"), now
    if not rules.scopes <= _scopes(claims.get("scope")):
        return rules.refusal("insufficient_scope"), now
    return TokenAnswer(_username(claims, rules.claim)), expires


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _object(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Unusable("the authorization server's answer is no JSON") from None
    if not isinstance(value, dict):
        raise Unusable("the authorization server's answer is no JSON object")
    return value


def _time(claims: dict[str, object], name: str, default: float) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unusable(f'the authorization server\'s answer has a member "{name}" that is no time')
    return value if value == default else float(max(0, min(value, LATEST)))


def _strings(value: object) -> frozenset[str]:
    """`aud` is one text or a list of them (RFC 7519 section 4.1.3)."""
    items = value if isinstance(value, list) else [value]
    return frozenset(item for item in items if isinstance(item, str))


def _scopes(value: object) -> frozenset[str]:
    """Names with blanks between (RFC 7662); a list of names, which some servers send, is taken too."""
    if isinstance(value, str):
        return frozenset(value.split(" "))
    return _strings(value)


def _username(claims: dict[str, object], claim: str) -> str:
    name = claims.get(claim)
    if not isinstance(name, str) or not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise Unusable(f'the authorization server names no user in "{claim}" (oauth_username_claim)')
    if claim == "email" and claims.get("email_verified") is False:
        raise Unusable("the authorization server has not verified the user's email address")
    return name
