"""Address extensions that go on to what an alias or a forward file names (propagate_unmatched_extensions)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.address import parse_mailbox
from pillarbox.local.steps import completed
from tests.local.conftest import House


def sent_on(house: House, address: str) -> list[str]:
    house.options["recipient_delimiter"] = "+"
    (result,) = house.deliver(address)
    assert result.status == "sent", result
    return [each for envelope, _ in house.services.received for each in envelope["recipients"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("words", "expected"), [("alias", "x+e@far.example"), ("canonical, virtual", "x@far.example")])
def test_of_an_alias(house: House, words: str, expected: str) -> None:
    house.options["propagate_unmatched_extensions"] = words
    house.services.aliases["list"] = "x@far.example, y+own@far.example"
    assert sent_on(house, "list+e@example.com") == [expected, "y+own@far.example"]


def test_an_alias_of_the_whole_name_keeps_its_extension(house: House) -> None:
    house.options["propagate_unmatched_extensions"] = "alias"
    house.services.aliases["list+e"] = "x@far.example"
    assert sent_on(house, "list+e@example.com") == ["x@far.example"]


@pytest.mark.parametrize(("words", "expected"), [("forward", "x+e@far.example"), ("alias", "x@far.example")])
def test_of_a_forward_file(house: House, words: str, expected: str) -> None:
    house.options["propagate_unmatched_extensions"] = words
    house.write("ann", ".forward", "x@far.example\n")
    assert sent_on(house, "ann+e@example.com") == [expected]


def test_a_forward_file_of_the_extension_keeps_it(house: House) -> None:
    house.options["propagate_unmatched_extensions"] = "forward"
    house.write("ann", ".forward+e", "x@far.example\n")
    assert sent_on(house, "ann+e@example.com") == ["x@far.example"]


_LOCALS = st.from_regex(r'[a-z]{1,5}(\.[a-z]{1,5})?|"[a-z @]{1,8}"', fullmatch=True)


@given(_LOCALS, st.sampled_from(["", "@far.example"]), st.sampled_from(["", "+e", "-a.b"]))
def test_a_completed_address_is_one(local: str, domain: str, extension: str) -> None:
    address = parse_mailbox(completed(f"{local}{domain}", "here.example", extension))
    assert address.domain == (domain.removeprefix("@") or "here.example")
    assert address.local.endswith(extension)
