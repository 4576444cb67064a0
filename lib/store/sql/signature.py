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
    names = ";".join(sorted(signed))
    lines = [f"{name}:{signed[name].strip()}\n" for name in sorted(signed)]
    request = f"{method}\n{encoded(path)}\n\n{''.join(lines)}\n{names}\n{digest}"
    scope = f"{stamp[:8]}/{credentials.region}/s3/aws4_request"
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    authorization = f"{_ALGORITHM} Credential={credentials.key}/{scope},SignedHeaders={names},Signature={signature}"
    return {**signed, "authorization": authorization}


def encoded(path: str) -> str:
    """The path as it is signed and sent."""
    return quote(path, safe="/-_.~")
