"""Policies in their file: there after a restart or a kill, bounded, begun anew where it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.smtp.sts_policy import parse_policy
from pillarbox.mta_sts import cache as cache_module
from pillarbox.mta_sts.cache import FILE, USE_RESOLUTION, Cache, Known

NOW = 1_000_000
TEXT = "version: STSv1\nmode: testing\nmx: mx.{}\nmax_age: 100000\n"


def keep(cache: Cache, domain: str, now: float = NOW, extra: str = "") -> None:
    cache.keep(parse_policy(domain, "1", TEXT.format(domain) + extra), now)


def found(cache: Cache, domain: str) -> Known:
    known = cache.find(domain, NOW)
    assert known is not None
    return known


def test_a_policy_comes_back_as_it_was(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    keep(cache, "far.test")
    cache.close()
    assert found(Cache(str(tmp_path)), "far.test") == Known(
        parse_policy("far.test", "1", TEXT.format("far.test")), NOW, NOW + 100000, NOW, NOW
    )


def test_those_not_used_for_longest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "DOMAIN_LIMIT", 2)
    cache = Cache(str(tmp_path))
    for number in range(3):
        keep(cache, f"d{number}.test", NOW + number)
    cache.use(found(cache, "d0.test"), NOW + USE_RESOLUTION)
    cache.sweep(NOW)
    assert [cache.find(f"d{number}.test", NOW) is not None for number in range(3)] == [True, False, True]


ENFORCED = TEXT.replace("testing", "enforce")


def established(cache: Cache, domain: str, text: str = ENFORCED) -> None:
    """Mail has gone by a policy on two days."""
    cache.keep(parse_policy(domain, "1", text.format(domain)), NOW - USE_RESOLUTION)
    cache.use(found(cache, domain), NOW)


def test_a_flood_pushes_out_no_policy_that_mail_has_gone_by_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "DOMAIN_LIMIT", 50)
    cache = Cache(str(tmp_path))
    established(cache, "bank.test")
    established(cache, "trial.test", TEXT)
    for number in range(500):
        keep(cache, f"d{number}.x{number}.test", NOW + 10 * USE_RESOLUTION + number)
    cache.sweep(NOW)
    assert cache.find("bank.test", NOW) is not None
    assert cache.find("trial.test", NOW) is None, "what only tries a policy out is protected by none"
    assert cache._file.rows("SELECT count(*) FROM policy") == [(50,)]


def test_a_flood_of_large_policies_pushes_it_out_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "SIZE_LIMIT", 1024 * 1024)
    cache = Cache(str(tmp_path))
    established(cache, "bank.test")
    for number in range(100):
        keep(cache, f"d{number}.test", NOW + number, f"x: {'y' * 60000}\n")
    assert cache.find("bank.test", NOW) is not None


def test_a_flood_below_one_domain_pushes_out_only_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "DOMAIN_LIMIT", 50)
    cache = Cache(str(tmp_path))
    for number in range(10):
        keep(cache, f"mail.good{number}.test", NOW)
    for number in range(500):
        keep(cache, f"d{number}.y{number}.flood.test", NOW + USE_RESOLUTION)
    cache.sweep(NOW)
    assert all(cache.find(f"mail.good{number}.test", NOW) for number in range(10))
    assert cache._file.rows("SELECT count(*) FROM policy") == [(50,)]


def test_established_ones_leave_room_to_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "DOMAIN_LIMIT", 50)
    cache = Cache(str(tmp_path))
    for number in range(60):
        established(cache, f"e{number}.test")
    assert cache._file.rows("SELECT count(*) FROM established") == [(45,)]
    keep(cache, "new.test", NOW + 1)
    cache.sweep(NOW)
    assert found(cache, "new.test")
    assert all(cache.find(f"e{number}.test", NOW) for number in range(45))


def test_one_that_is_used_takes_the_place_of_one_that_has_not_been_for_a_month(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "DOMAIN_LIMIT", 10)
    cache = Cache(str(tmp_path))
    for number in range(9):
        established(cache, f"e{number}.test")
    later = NOW + cache_module.USED_WITHIN + 1
    cache._file.do("UPDATE policy SET used = ? WHERE domain != 'e4.test'", later)
    cache.keep(parse_policy("new.test", "1", ENFORCED.format("new.test")), later - USE_RESOLUTION)
    known = cache.find("new.test", later)
    assert known is not None
    cache.use(known, later)
    names = {row[0] for row in cache._file.rows("SELECT domain FROM established")}
    assert names == {"new.test", *(f"e{number}.test" for number in range(9) if number != 4)}


@pytest.mark.parametrize("later", [TEXT, ENFORCED + f"x: {'y' * 60000}\n"])
def test_one_that_becomes_another_is_judged_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: str) -> None:
    monkeypatch.setattr(cache_module, "SIZE_LIMIT", 100_000)
    cache = Cache(str(tmp_path))
    established(cache, "far.test")
    cache.keep(parse_policy("far.test", "2", later.format("far.test")), NOW)
    assert cache._file.rows("SELECT * FROM established") == []


def test_a_file_from_before_is_taken_over(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    keep(cache, "far.test")
    cache._file.do("DROP TABLE established")
    cache.close()
    assert found(Cache(str(tmp_path)), "far.test")


def test_use_is_noted_once_a_day(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    keep(cache, "far.test")
    cache.use(found(cache, "far.test"), NOW + USE_RESOLUTION - 1)
    assert found(cache, "far.test").used == NOW
    cache.use(found(cache, "far.test"), NOW + USE_RESOLUTION)
    assert found(cache, "far.test").used == NOW + USE_RESOLUTION


def test_a_new_policy_takes_the_place_of_the_old_and_keeps_its_use(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    keep(cache, "far.test")
    cache.keep(parse_policy("far.test", "2", TEXT.format("new.test")), NOW + 50)
    known = found(cache, "far.test")
    assert (known.policy.id, known.policy.mx, known.fetched, known.used) == ("2", ("mx.new.test",), NOW + 50, NOW)


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "SIZE_LIMIT", 1024 * 1024)
    cache = Cache(str(tmp_path))
    for number in range(100):
        keep(cache, f"d{number}.test", NOW + number, f"x: {'y' * 60000}\n")
    assert sum(path.stat().st_size for path in tmp_path.iterdir() if path.name == FILE) < 2 * 1024 * 1024
    assert found(cache, "d99.test")
    assert cache.find("d0.test", NOW) is None


def test_a_row_that_is_no_policy_is_none(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    keep(cache, "far.test")
    cache._file.do("UPDATE policy SET text = 'nonsense'")
    assert cache.find("far.test", NOW) is None


def test_what_is_due(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    for number in range(4):
        keep(cache, f"d{number}.test", NOW + number)
    cache.checked("d1.test", NOW + 60000)
    due = cache.due(NOW + 50002, NOW, NOW + 50000, 10)
    assert due == ["d0.test", "d2.test"], "not what was looked up a moment ago, nor what is not half over"
    assert cache.due(NOW + 50002, NOW + 2, NOW + 50000, 10) == ["d2.test"], "only what was used lately"
    assert cache.due(NOW + 50002, NOW, NOW + 50000, 1) == ["d0.test"], "those first that end first"
    established(cache, "bank.test")
    cache.keep(parse_policy("bank.test", "1", ENFORCED.format("bank.test")), NOW + 2)
    assert cache.due(NOW + 50003, NOW, NOW + 50000, 1) == ["bank.test"], "and established ones before all"
