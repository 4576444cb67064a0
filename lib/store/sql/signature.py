"""Signatures of requests to S3, AWS Signature Version 4 ("Authenticating Requests: Using the Authorization Header").

Pure: the time is given.  Query strings are not needed here and not signed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks."""

    key: str
    secret: str = field(repr=False)
    region: str


def signed_headers(
    credentials: Credentials, method: str, path: str, headers: Mapping[str, str], body: bytes, now: float
) -> dict[str, str]:
    """`headers` (with `host`, names in lower case) and those that prove who asks; `path` is not encoded yet."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    signed = {**headers, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    scope = f"{stamp[:8]}/{credentials.region}/s3/aws4_request"
    request = canonical_request(method, encoded(path), "", signed, digest)
    key = signing_key(credentials.secret, scope)
    signature = hmac.digest(key, string_to_sign(request, stamp, scope).encode(), "sha256").hex()
    names = _names(signed)
    authorization = f"{_ALGORITHM} Credential={credentials.key}/{scope},SignedHeaders={names},Signature={signature}"
    return {**signed, "authorization": authorization}


def canonical_request(method: str, path: str, query: str, headers: Mapping[str, str], digest: str) -> str:
    """What is signed of a request: path and query encoded, the latter's parameters in order; the body's SHA-256."""
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    return f"{method}\n{path}\n{query}\n{lines}\n{_names(headers)}\n{digest}"


def string_to_sign(request: str, stamp: str, scope: str) -> str:
    """Of a canonical request made at `stamp`."""
    return f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"


def signing_key(secret: str, scope: str) -> bytes:
    """For a scope `DAY/REGION/SERVICE/aws4_request`."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _names(headers: Mapping[str, str]) -> str:
    return ";".join(sorted(headers))


def encoded(path: str) -> str:
    """The path as it is signed and sent."""
    return quote(path, safe="/-_.~")
