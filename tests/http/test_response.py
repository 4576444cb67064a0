"""The HTTP that is understood: every framing, however it arrives; and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib import http
from pillarbox.lib.http import BadResponse, HttpPlace, ResponseReader, compose_request
from tests.feeding import splits, truncations

SIZED = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"active":true}'
CHUNKED = (
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"active\r\n7;x=y\r\n":true}\r\n0\r\nTrailer: x\r\n\r\n'
)
TO_THE_END = b'HTTP/1.0 200 OK\r\n\r\n{"active":true}'
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + SIZED


def read(pieces: list[bytes]) -> ResponseReader:
    reader = ResponseReader()
    for piece in pieces:
        reader.feed(piece)
    reader.end()
    return reader


@pytest.mark.parametrize("response", [SIZED, CHUNKED, TO_THE_END, INTERIM])
def test_a_response_is_read_however_it_arrives(response: bytes) -> None:
    for pieces in splits(response):
        reader = read(pieces)
        assert (reader.done, reader.status, reader.body) == (True, 200, b'{"active":true}'), pieces


@pytest.mark.parametrize("response", [SIZED, CHUNKED, INTERIM])
def test_a_response_that_is_cut_short_is_refused(response: bytes) -> None:
    for part in truncations(response):
        with pytest.raises(BadResponse):
            read([part])


def test_what_comes_behind_the_response_is_ignored() -> None:
    for response in (SIZED, CHUNKED):
        assert read([response + b"HTTP/1.1 500 No\r\n\r\n"]).body == b'{"active":true}'


def test_a_response_without_a_body() -> None:
    for response in (
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n",
    ):
        assert read([response]).body == b""


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"220 mx.example ESMTP\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno field\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyyyyyyy",
    ],
)
def test_what_is_no_http_is_refused(response: bytes) -> None:
    for pieces in splits(response):
        with pytest.raises(BadResponse):
            read(pieces)


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(http.BODY_LIMIT + 1),
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * http.HEAD_LIMIT,
        b"x" * (http.HEAD_LIMIT + 1),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * http.HEAD_LIMIT,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * http.HEAD_LIMIT,
    ],
)
def test_nothing_grows_without_limit(response: bytes) -> None:
    reader = ResponseReader()
    with pytest.raises(BadResponse):
        for start in range(0, len(response), 1000):
            reader.feed(response[start : start + 1000])
    assert len(reader.body) <= http.BODY_LIMIT


def test_no_header_takes_long() -> None:
    """An expression may take years for such lines; found by fuzzing a kindred one."""
    blanks = b" \t" * 3500
    with pytest.raises(BadResponse):
        read([b"HTTP/1.1 200 OK\r\nX:%b\0\r\n\r\n" % blanks])
    assert read([b"HTTP/1.1 204 No\r\nX:%ba b%b\r\n\r\n" % (blanks, blanks)]).fields["x"] == "a b"


@given(st.binary(max_size=300))
def test_any_bytes_are_a_response_or_refused(data: bytes) -> None:
    try:
        read([b"HTTP/1.1 200 OK\r\n" + data])
    except BadResponse:
        pass


def test_the_request() -> None:
    place = HttpPlace.of("http://as.example:8443/introspect?x=1", None)
    assert compose_request("POST", place, {"Accept": "application/json"}, b"token=abc") == (
        b"POST /introspect?x=1 HTTP/1.1\r\nHost: as.example:8443\r\nAccept: application/json\r\n"
        b"Content-Length: 9\r\nConnection: close\r\n\r\ntoken=abc"
    )
    assert compose_request("GET", HttpPlace.of("https://as.example", None)) == (
        b"GET / HTTP/1.1\r\nHost: as.example\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "as.example",
        "ftp://as.example/",
        "https://",
        "https:///x",
        "https://as.example/a b",
        "https://as.example/\r\nX: y",
        "https://as.example:port/",
        "https://as.example:99999/",
        "https://\u00e4.example/",
    ],
)
def test_what_is_no_place(url: str) -> None:
    with pytest.raises(ValueError):
        HttpPlace.of(url, None)
