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
