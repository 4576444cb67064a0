"""Where the mail of hosted accounts is said to lie: `mail_location` and its kin."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.accounts import mail_location
from pillarbox.lib.config import Config
from pillarbox.lib.config.location import (
    LOCATION_KINDS,
    expand_location,
    parse_general_location,
    parse_location,
    read_domain_locations,
)
from pillarbox.lib.config.mapping import BadEntry
from pillarbox.lib.store import OPENERS
from pillarbox.lib.store.sql.place import cache_directory, parse_place

ADDRESS = "ann@example.com"


def config(**values: str) -> Config:
    return Config.for_tests(virtual_mailbox_base="/mail", **values)


def test_every_kind_that_can_be_configured_can_be_opened() -> None:
    assert set(LOCATION_KINDS) == set(OPENERS)


def test_by_default_it_is_a_maildir_below_the_base() -> None:
    assert mail_location(config(), ADDRESS) == "maildir:/mail/example.com/ann"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("maildir:/x/%d/%n/%u", "maildir:/x/example.com/ann/ann@example.com"),
        (
            "pgsql:postgresql://mail@db/mail#%u",
            f"pgsql:postgresql://mail@db/mail?cache=/mail/example.com/ann/cache#{ADDRESS}",
        ),
        ("pgsql:postgresql://db/mail?cache=#%n", "pgsql:postgresql://db/mail?cache=#ann"),
        (
            "pgsql:postgresql://db/mail?port=1#%n",
            "pgsql:postgresql://db/mail?port=1&cache=/mail/example.com/ann/cache#ann",
        ),
        ("pgsql:postgresql://db/mail?cache=%h/c#%n", "pgsql:postgresql://db/mail?cache=/mail/example.com/ann/c#ann"),
        ("mbox:%h/folders:INBOX=%h/in%%box", "mbox:/mail/example.com/ann/folders:INBOX=/mail/example.com/ann/in%box"),
    ],
)
def test_variables_mean_what_they_do_in_dovecot(location: str, expected: str) -> None:
    assert mail_location(config(mail_location=location), ADDRESS) == expected


def test_a_quoted_local_part_is_named_as_its_directory_is() -> None:
    assert mail_location(config(mail_location="maildir:/x/%n"), '"a b"@example.com') == "maildir:/x/a b"


def test_what_an_account_is_called_means_nothing_in_a_uri() -> None:
    given = config(mail_location="pgsql:postgresql://db/mail?cache=/c/%n#%u")
    assert mail_location(given, "a&passfile=+#b@example.com") == (
        "pgsql:postgresql://db/mail?cache=/c/a%26passfile%3D%2B%23b#a&passfile=+#b@example.com"
    )


@given(local=st.text(st.characters(exclude_characters="\0/@", exclude_categories=["Cs"]), min_size=1, max_size=9))
def test_the_cache_of_a_database_account_lies_in_its_home_whatever_it_is_called(local: str) -> None:
    home = f"/mail/example.com/{local}"
    text = expand_location("pgsql:postgresql://db/mail?port=5#%u", f"{local}@example.com", local, "example.com", home)
    place = text.removeprefix("pgsql:")
    assert cache_directory(place) == f"{home}/cache"
    assert parse_place(place)[0].uri == "postgresql://db/mail?port=5"


def test_the_accounts_own_location_goes_before_the_domains_and_that_before_all() -> None:
    given = config(mail_location="maildir:/all/%u", mail_location_domains="{Example.com: 'maildir:/domain/%u'}")
    assert mail_location(given, "bob@example.org") == "maildir:/all/bob@example.org"
    assert mail_location(given, ADDRESS) == f"maildir:/domain/{ADDRESS}"
    assert mail_location(given, ADDRESS, "maildir:/own") == "maildir:/own"


@pytest.mark.parametrize(
    "text", ["", "maildir", "maildir:", "nosuch:/x", "maildir:relative", "maildir:/x/%q", "mbox:/%"]
)
def test_what_is_no_location_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|means nothing"):
        parse_location(text)
    with pytest.raises(BadEntry, match=r"example\.com"):
        read_domain_locations({"example.com": text})


def test_accounts_are_kept_apart() -> None:
    for text in ("sqlite:/mail/all.sqlite", "maildir:/x/%d", "pgsql:postgresql://%u@db/mail#all"):
        assert parse_location(text) == text
        with pytest.raises(BadEntry, match="keep accounts apart"):
            read_domain_locations({"example.com": text})


_PARTS = st.lists(
    st.sampled_from(["pgsql:", "postgresql://", "sqlite:/", "%u", "%h", *"%@:/?&=#[]\0"])
    | st.sampled_from(
        ["passfile=/x", "objects=http://h/b", "objectsfile=/k", "cache=", "sslmode=", "host=/d", "port=9"]
    )
    | st.text(max_size=3),
    max_size=14,
).map("".join)


@given(text=_PARTS)
def test_any_text_is_a_location_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_location(text) == text
        mail_location(config(), ADDRESS, text)
    for place in (text, f"postgresql://mail@db/mail?{text}"):
        with contextlib.suppress(ValueError):
            _, account = parse_place(place)
            cache_directory(place)
            assert account


def test_what_is_said_of_a_wrong_location_shows_no_password() -> None:
    for check in (parse_location, parse_general_location):
        with pytest.raises(ValueError, match="expected") as raised:
            check("pgsql:postgresql://mail:secret@db/mail")
        assert "secret" not in str(raised.value)
