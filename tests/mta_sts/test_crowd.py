"""Who makes way where there are too many."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mta_sts.crowd import family_of, surplus

domains = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 50)).map(lambda pair: f"d{pair[1]}.f{pair[0]}.test"), unique=True
)


@given(domains, st.integers(0, 60))
def test_exactly_the_surplus_goes_and_the_largest_families_pay(every: list[str], room: int) -> None:
    gone = surplus(every, room)
    assert len(gone) == max(0, len(every) - room)
    assert set(gone) <= set(every)
    before = Counter(map(family_of, every))
    after = before - Counter(map(family_of, gone))
    largest = max(after.values(), default=0)
    for family in {family_of(domain) for domain in gone}:
        assert after[family] >= largest - 1, "nobody pays for a family that is larger still"
    for family in before:
        mine = [domain for domain in every if family_of(domain) == family]
        assert [domain for domain in mine if domain not in gone] == mine[: after[family]], "the last used stay"


def test_a_small_family_is_left_alone() -> None:
    flood = [f"x{number}.flood.test" for number in range(100)]
    assert surplus([*flood, "a.good.test", "b.good.test"], 10) == flood[8:]
