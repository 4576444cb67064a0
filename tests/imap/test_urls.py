"""IMAP URLs with an authorization (RFC 5092 section 6, RFC 4467 section 9), and the token INTERNAL."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.imapd.commands.urlauth import is_authorized, make_token, same_user
from pillarbox.imapd.protocol.urls import LIMIT, Authorization, MessageUrl, parse_url
from pillarbox.lib.store.url_keys import Key
from tests.feeding import truncations

RUMP = b"imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred"
FULL = RUMP + b":internal:91354a473744909de610943775f92038"
"""RFC 4467 section 7."""
TOKEN = bytes.fromhex("91354a473744909de610943775f92038")


def test_the_examples_of_rfc_4467() -> None:
    rump = Authorization(RUMP, "submit", "fred")
    assert parse_url(RUMP) == MessageUrl(
        "INBOX", 20, section=b"1.2", user="joe", host="example.com", authorization=rump
    )
    full = parse_url(FULL)
    assert full is not None and full.authorization == Authorization(RUMP, "submit", "fred", None, "INTERNAL", TOKEN)
    url = parse_url(b"imap://joe@example.com/INBOX/;uid=20/;section=1.2")
    assert url is not None and url.authorization is None
    shared = parse_url(b"imap://example.com/Shared/;uid=20/;section=1.2;urlauth=submit+fred")
    assert shared is not None and (shared.user, shared.mailbox) == (None, "Shared")


@pytest.mark.parametrize(
    ("text", "kind", "userid"),
    [
        ("anonymous", "anonymous", ""),
        ("AuthUser", "authuser", ""),
        ("User+j%6fe%2bx%40example.com", "user", "joe+x@example.com"),
    ],
)
def test_access_identifiers(text: str, kind: str, userid: str) -> None:
    url = parse_url(f"imap://joe@example.com/INBOX/;UID=20;URLAUTH={text}".encode())
    assert url is not None and url.authorization is not None
    assert (url.authorization.kind, url.authorization.userid) == (kind, userid)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-01T00:00:00Z", datetime(2026, 12, 1, tzinfo=UTC).timestamp()),
        ("2026-12-01t01:30:00.5+01:30", datetime(2026, 12, 1, tzinfo=UTC).timestamp() + 0.5),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()),
        ("2026-12-01", None),
        ("2026-12-01T00:00:00", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-12-01T24:00:61Z", None),
        ("2026-12-01T00:00:00+1:00", None),
        ("0000-01-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_dates_of_expiry(text: str, expected: float | None) -> None:
    url = parse_url(f"imap://joe@example.com/INBOX/;UID=20;EXPIRE={text};URLAUTH=anonymous".encode())
    if expected is None:
        assert url is None
    else:
        assert url is not None and url.authorization is not None and url.authorization.expires == expected


@pytest.mark.parametrize(
    "rest",
    [
        ";URLAUTH=",
        ";URLAUTH=nobody",
        ";URLAUTH=stream",
        ";URLAUTH=submit",
        ";URLAUTH=submit+",
        ";URLAUTH=user+:internal:" + 32 * "a",
        ";URLAUTH=authuser+joe",
        ";URLAUTH=anonymous:",
        ";URLAUTH=anonymous:internal",
        ";URLAUTH=anonymous:internal:",
        ";URLAUTH=anonymous:internal:" + 31 * "a",
        ";URLAUTH=anonymous:internal:" + 33 * "a",
        ";URLAUTH=anonymous:internal:" + 31 * "a" + "g",
        ";URLAUTH=anonymous:internal:" + 32 * "a" + ";UID=3",
        ";URLAUTH=anonymous;EXPIRE=2026-12-01T00:00:00Z",
        ";EXPIRE=2026-12-01T00:00:00Z",
    ],
)
def test_what_is_no_authorization_makes_no_url(rest: str) -> None:
    start = "imap://joe@example.com/INBOX/;UID=20"
    assert parse_url(start.encode()) is not None
    assert parse_url((start + rest).encode()) is None


@pytest.mark.parametrize(
    "url",
    [
        b"imap://joe@example.com",
        b"imap://joe@example.com/",
        b"imap://joe@example.com/INBOX;urlauth=anonymous",
        b"imap://joe@example.com/INBOX?SUBJECT;UID=1;urlauth=anonymous",
        b"imap://joe@example.com/INBOX/;UID=0;urlauth=anonymous",
        b"imap://joe@example.com/INBOX/;UID=1\r\n;urlauth=anonymous",
        b"http://joe@example.com/INBOX/;UID=1;urlauth=anonymous",
        b"imap://joe@example.com/INBOX/;UID=1;urlauth=anonymous\xff",
        b"imap://joe@example.com/" + LIMIT * b"x" + b";UID=1",
    ],
)
def test_what_names_no_message(url: bytes) -> None:
    assert parse_url(url) is None


def test_a_url_that_is_cut_is_another_or_none() -> None:
    whole = parse_url(FULL)
    assert all(parse_url(start) != whole for start in truncations(FULL))


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(NAMES, NAMES, st.integers(1, 2**32 - 1), st.none() | st.integers(1, 2**32 - 1), st.none() | NAMES)
def test_what_is_written_is_read(user: str, mailbox: str, uid: int, validity: int | None, userid: str | None) -> None:
    name = mailbox if mailbox.isascii() is False else mailbox.replace("&", "+")
    access = "anonymous" if userid is None else f"user+{quote(userid, safe='')}"
    rump = f"imap://{quote(user, safe='')}@example.com:143/{quote(name, safe='')}"
    rump += f";UIDVALIDITY={validity}" if validity is not None else ""
    rump += f"/;UID={uid};URLAUTH={access}"
    url = parse_url(f"{rump}:internal:{'ab' * 33}".encode())
    assert url is not None and url.authorization is not None
    assert (url.user, url.host, url.uid, url.uid_validity) == (user, "example.com:143", uid, validity)
    assert url.mailbox == ("INBOX" if name.upper() == "INBOX" else name)
    assert (url.authorization.rump, url.authorization.userid) == (rump.encode(), userid or "")


@given(st.binary(min_size=32, max_size=32), st.data())
def test_a_token_is_good_for_one_key_and_one_url(secret: bytes, data: st.DataObject) -> None:
    token = make_token(secret, RUMP)
    assert is_authorized(Key(secret, 1), Authorization(RUMP, "submit", "fred", None, "INTERNAL", token))
    at = data.draw(st.integers(0, len(RUMP) - 1))
    other = RUMP[:at] + bytes([RUMP[at] ^ data.draw(st.integers(1, 127))]) + RUMP[at + 1 :]
    wrong = data.draw(st.binary(max_size=40).filter(lambda value: value != token))
    for key, rump, given_token in (
        (Key(secret, 1), other, token),
        (Key(secret, 1), RUMP, wrong),
        (Key(secret, 1), RUMP, token[:-1]),
        (Key(secret[::-1] + b"x", 1), RUMP, token),
        (None, RUMP, token),
    ):
        assert not is_authorized(key, Authorization(rump, "submit", "fred", None, "INTERNAL", given_token))


def test_addresses_have_no_case_and_users_of_the_system_have() -> None:
    assert same_user("Ann@Example.com", "ann@example.com") and same_user("ann", "ann")
    assert not same_user("Ann", "ann") and not same_user("ann", "ann@example.com")
