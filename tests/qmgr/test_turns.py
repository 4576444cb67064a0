"""The bounds that `turns.py` promises."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.qmgr.turns import Turns

costs = st.integers(1, 7)
loans = st.integers(0, 5)


def serve(turns: Turns[str]) -> str:
    line = turns.line()
    name = line.popleft()
    turns.served(line)
    if line is turns.bulk:
        line.append(name)
    return name


@given(costs, loans, st.integers(0, 50), st.integers(1, 5), st.integers(1, 12))
def test_the_nth_fresh_one_waits_for_its_own_kind_and_a_share_of_bulk_only(
    cost: int, loan: int, before: int, bulk: int, position: int
) -> None:
    turns = Turns[str](cost, loan)
    turns.bulk.extend(f"bulk {n}" for n in range(bulk))
    for _ in range(before):
        serve(turns)
    turns.fresh.extend(f"fresh {n}" for n in range(position))
    served = [serve(turns) for _ in range(position * (cost + 1))]
    assert f"fresh {position - 1}" in served


@given(costs, loans, st.integers(1, 100), st.integers(1, 5))
def test_bulk_loses_no_more_than_the_share_and_the_loan(cost: int, loan: int, turns_taken: int, bulk: int) -> None:
    turns = Turns[str](cost, loan)
    turns.bulk.extend(f"bulk {n}" for n in range(bulk))
    turns.fresh.extend(["fresh"] * turns_taken)
    served = [serve(turns) for _ in range(turns_taken)]
    assert served.count("fresh") <= turns_taken / (cost + 1) + loan + 1


@given(costs, loans, st.integers(1, 20), st.integers(0, 20))
def test_each_bulk_one_has_its_turn(cost: int, loan: int, bulk: int, fresh: int) -> None:
    turns = Turns[str](cost, loan)
    turns.bulk.extend(f"bulk {n}" for n in range(bulk))
    turns.fresh.extend(["fresh"] * fresh)
    served = [name for name in [serve(turns) for _ in range(3 * bulk + fresh)] if name != "fresh"]
    for start in range(len(served) - bulk + 1):
        assert set(served[start : start + bulk]) == {f"bulk {n}" for n in range(bulk)}
    assert len(served) >= bulk


@given(st.lists(st.sampled_from(["fresh", "bulk", "serve"]), max_size=200), costs, loans)
def test_the_credit_is_never_overdrawn_and_never_hoarded(steps: list[str], cost: int, loan: int) -> None:
    turns = Turns[str](cost, loan)
    for step in steps:
        if step == "fresh":
            turns.fresh.append(step)
        elif step == "bulk":
            turns.bulk.append(step)
        elif turns:
            line = turns.line()
            line.popleft()
            turns.served(line)
        assert 0 <= turns._credit <= max(1, loan) * cost
