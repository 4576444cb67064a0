"""The Sender Rewriting Scheme."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pillarbox.lib.address.address import Address
from pillarbox.lib.address.path import parse_mailbox
from pillarbox.lib.address.srs import DAY, Srs, SrsError

NOW = 1577836860.0
SRS = Srs("example.com", (b"tops3cr3t",))


def test_the_addresses_are_those_of_postsrsd() -> None:
    """The vector of its own tests."""
    assert SRS.forward("test@otherdomain.com", NOW) == "SRS0=vmyz=2W=otherdomain.com=test@example.com"
    assert SRS.reverse("SRS0=vmyz=2W=otherdomain.com=test@example.com", NOW) == "test@otherdomain.com"


def test_over_several_systems_the_way_back_leads_to_the_first_and_from_there_to_the_sender() -> None:
    first, second, third = (Srs(f"{name}.example", (name.encode() * 8,)) for name in ("one", "two", "three"))
    sender = "ann@sender.example"
    by_first = first.forward(sender, NOW)
    assert by_first is not None and by_first.startswith("SRS0=") and by_first.endswith("@one.example")
    by_second = second.forward(by_first, NOW)
    assert by_second is not None and by_second.startswith("SRS1=") and "=one.example==" in by_second
    by_third = third.forward(by_second, NOW)
    assert by_third is not None and by_third.startswith("SRS1=") and "=one.example==" in by_third
    assert second.reverse(by_second, NOW) == by_first
    assert third.reverse(by_third, NOW) == by_first, "in one step, past the second"
    assert first.reverse(by_first, NOW) == sender


def test_case_may_be_lost_on_the_way() -> None:
    forwarded = SRS.forward("Ann.Smith@Sender.Example", NOW)
    assert forwarded is not None
    for spoilt in (forwarded.lower(), forwarded.upper()):
        assert SRS.reverse(spoilt, NOW).lower() == "ann.smith@sender.example"


@pytest.mark.parametrize(
    "address",
    [
        "SRS0=vmyy=2W=otherdomain.com=test@example.com",
        "SRS0=vmyz=2W=otherdomain.com=best@example.com",
        "SRS0=vmyz=2W=otherdomain.org=test@example.com",
        "SRS0=vmyz=2X=otherdomain.com=test@example.com",
        "SRS0=vmyz=2W=otherdomain.com@example.com",
        "SRS0=vm=2W=otherdomain.com=test@example.com",
        "SRS0==2W=otherdomain.com=test@example.com",
        "SRS0=@example.com",
        "SRS1=vmyz=otherdomain.com==x@example.com",
        "SRS0=\u00fcmyz=2W=otherdomain.com=test@example.com",
    ],
)
def test_what_we_have_not_made_leads_nowhere(address: str) -> None:
    with pytest.raises(SrsError):
        SRS.reverse(address, NOW)


def test_an_address_is_good_for_its_days() -> None:
    address = SRS.forward("ann@sender.example", NOW)
    assert address is not None
    for days in (0, 21, 1024, 1045):
        assert SRS.reverse(address, NOW + days * DAY) == "ann@sender.example"
    for days in (-1, 22, 1023):
        with pytest.raises(SrsError, match="expired"):
            SRS.reverse(address, NOW + days * DAY)


def test_several_keys() -> None:
    old, new = b"an old secret...", b"a new secret...."
    address = Srs("example.com", (old,)).forward("ann@sender.example", NOW)
    assert address is not None
    assert Srs("example.com", (new, old)).reverse(address, NOW) == "ann@sender.example"
    assert Srs("example.com", (new, old)).forward("a@b.example", NOW) == Srs("example.com", (new,)).forward(
        "a@b.example", NOW
    )
    with pytest.raises(SrsError):
        Srs("example.com", (new,)).reverse(address, NOW)


@pytest.mark.parametrize(
    "sender", ["", "ann", "ann@", "@a.example", f"{'x' * 50}@sender.example", f"x@{'y' * 40}.{'z' * 20}.example"]
)
def test_a_sender_that_would_not_come_back_stays(sender: str) -> None:
    assert SRS.forward(sender, NOW) is None


@pytest.mark.parametrize(
    ("address", "concerned"),
    [
        ("SRS0=vmyz=2W=otherdomain.com=test@example.com", True),
        ("srs1+x@EXAMPLE.com", True),
        ('"SRS0-x y"@example.com', True),
        ("SRS0=vmyz=2W=otherdomain.com=test@elsewhere.example", False),
        ("SRS0@example.com", False),
        ("SRS2=x@example.com", False),
        ("srs@example.com", False),
        ("SRS0=x", False),
    ],
)
def test_which_addresses_are_of_this_kind(address: str, concerned: bool) -> None:
    assert SRS.concerns(address) is concerned


_CONTROLS = "".join(map(chr, range(127, 160)))
NAMES = st.text(
    st.characters(min_codepoint=32, exclude_characters=_CONTROLS, exclude_categories=("Cs",)), min_size=1, max_size=25
)


@given(NAMES, st.sampled_from(["a.example", "SRS0.example", "\u00fc.example"]), st.booleans())
@example("SRS0=x=yy=z=u", "a.example", False)
@example("SRS1=x=a==u", "a.example", True)
def test_there_and_back(local: str, domain: str, late: bool) -> None:
    sender = str(Address(local, domain))
    now = NOW + 1000 * DAY if late else NOW
    forwarded = SRS.forward(sender, now)
    if forwarded is None:
        return
    parse_mailbox(forwarded)
    assert SRS.concerns(forwarded)
    back = SRS.reverse(forwarded, now)
    if not local.upper().startswith("SRS1"):
        assert back == sender


@given(st.text(max_size=60) | st.text(alphabet="SRS01=-+2Wab.@", max_size=60))
def test_any_text_is_refused(text: str) -> None:
    for prefix in ("", "SRS0=", "SRS1=abcd="):
        address = f"{prefix}{text}@example.com"
        if SRS.concerns(address):
            with pytest.raises(SrsError):
                SRS.reverse(address, NOW)
