"""Signatures of requests to object storage, against the examples that AWS publishes.

"Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk (AWS Signature Version 4)",
and "Deriving a signing key" of the general reference.
"""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.store.sql.signature import (
    Credentials,
    canonical_request,
    encoded,
    signed_headers,
    signing_key,
    string_to_sign,
)
from tests.store import object_server

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
WHO = Credentials("AKIAIOSFODNN7EXAMPLE", SECRET, "us-east-1")
HOST = "examplebucket.s3.amazonaws.com"
NOW = 1369353600  # 20130524T000000Z
STAMP, SCOPE = "20130524T000000Z", "20130524/us-east-1/s3/aws4_request"
NOTHING = hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "signature"),
    [
        (
            "GET",
            "/test.txt",
            {"range": "bytes=0-9"},
            b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test$file.text",
            {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
    ],
)
def test_a_request_is_signed_as_in_the_example(
    method: str, path: str, headers: dict[str, str], body: bytes, signature: str
) -> None:
    signed = signed_headers(WHO, method, path, {"host": HOST, **headers}, body, NOW)
    names = ";".join(sorted({"host", "x-amz-content-sha256", "x-amz-date", *headers}))
    assert signed.pop("authorization") == (
        f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/{SCOPE},SignedHeaders={names},Signature={signature}"
    )
    digest = hashlib.sha256(body).hexdigest()
    assert signed == {"host": HOST, **headers, "x-amz-content-sha256": digest, "x-amz-date": STAMP}


def test_what_is_signed_is_that_of_the_example() -> None:
    headers = {"x-amz-date": STAMP, "host": HOST, "x-amz-content-sha256": NOTHING, "range": " bytes=0-9 "}
    request = canonical_request("GET", "/test.txt", "", headers, NOTHING)
    assert request == (
        "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\n"
        f"x-amz-content-sha256:{NOTHING}\nx-amz-date:{STAMP}\n\nhost;range;x-amz-content-sha256;x-amz-date\n{NOTHING}"
    )
    assert string_to_sign(request, STAMP, SCOPE) == (
        "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
        "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972"
    )


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_queries_of_the_examples_are_signed_too(query: str, signature: str) -> None:
    headers = {"host": HOST, "x-amz-content-sha256": NOTHING, "x-amz-date": STAMP}
    text = string_to_sign(canonical_request("GET", "/", query, headers, NOTHING), STAMP, SCOPE)
    assert hmac.digest(signing_key(SECRET, SCOPE), text.encode(), "sha256").hex() == signature


def test_the_key_of_the_example_is_derived() -> None:
    key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20120215/us-east-1/iam/aws4_request")
    assert key.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"


def test_a_path_is_encoded_octet_by_octet() -> None:
    assert encoded("/test$file.text") == "/test%24file.text"
    assert encoded("/a b/ü+~-_.%") == "/a%20b/%C3%BC%2B~-_.%25"


@given(st.text(st.characters(exclude_categories=["Cs"])), st.binary(max_size=50), st.floats(0, 4e9))
def test_another_reading_of_the_rules_comes_to_the_same(path: str, body: bytes, now: float) -> None:
    who = Credentials(object_server.KEY, object_server.SECRET, object_server.REGION)
    signed = signed_headers(who, "PUT", f"/{path}", {"host": "h"}, body, now)
    headers = {**signed, "Authorization": signed["authorization"]}
    assert object_server.signature_is_right("PUT", encoded(f"/{path}"), headers, body)
    assert not object_server.signature_is_right("PUT", encoded(f"/{path}x"), headers, body)
