"""Script files: what is compiled, when anew, and how much is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.sieve import SIEVE_EXTENSIONS
from pillarbox.lib.sieve_box import scripts
from pillarbox.lib.sieve_box.scripts import ScriptCache, ScriptTrouble, is_script_name
from pillarbox.lib.sieve_box.site import mistakes


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of scripts in the order in which they were compiled."""
    names: list[str] = []
    real = scripts.compile_script

    def counting(text: str, *, name: str, include: object, extensions: frozenset[str]) -> object:
        names.append(Path(name).name)
        return real(text, name=name, include=include, extensions=extensions)  # type: ignore[arg-type]

    monkeypatch.setattr(scripts, "compile_script", counting)
    return names


def write(path: Path, name: str, text: str = "keep;") -> str:
    (path / name).write_text(text)
    return str(path / name)


def test_a_script_is_compiled_once(tmp_path: Path, compiled: list[str]) -> None:
    cache, path = ScriptCache(), write(tmp_path, "a")
    assert cache.get(path, "") is cache.get(path, "/other/user") is not None
    assert compiled == ["a"]


@pytest.mark.parametrize(
    "setting, body, regex",
    [
        ("", True, True),
        ("-regex", True, False),
        ("-regex, +body", True, False),
        ("+regex -body -nonsense", False, True),
        ("body", True, False),
        ("body regex nonsense", True, True),
    ],
)
def test_a_site_chooses_what_scripts_may_require(tmp_path: Path, setting: str, body: bool, regex: bool) -> None:
    cache = ScriptCache.configured(Config.for_tests(sieve_extensions=setting))
    for name, allowed in (("body", body), ("regex", regex)):
        path = write(tmp_path, name, f'require ["{name}"]; keep;')
        if allowed:
            assert cache.get(path, "") is not None
        else:
            with pytest.raises(ScriptTrouble, match=f'expected an extension that is available, not "{name}"'):
                cache.get(path, "")
        asking = write(tmp_path, f"{name}2", f'require "ihave"; if ihave "{name}" {{ keep; }}')
        assert not setting.startswith(("-", "+")) or cache.get(asking, "") is not None


def test_extensions_that_do_not_exist_are_told() -> None:
    config = Config.for_tests(sieve_extensions="-regexp -body")
    assert list(mistakes(config)) == ['sieve_extensions: there is no extension "regexp"; did you mean "regex"?']
    with pytest.raises(ValueError, match="names that all have"):
        Config.for_tests(sieve_extensions="body -regex")[SIEVE_EXTENSIONS]


def test_what_a_script_includes_is_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """255 scripts of a megabyte each would take minutes, and gigabytes, of a process that all users share."""
    monkeypatch.setattr(scripts, "TOGETHER", 5000)
    read: list[str] = []
    real = scripts.read_script

    def counting(path: str, limit: int) -> str:
        read.append(path)
        return real(path, limit)

    monkeypatch.setattr(scripts, "read_script", counting)
    for number in range(20):
        write(tmp_path, f"part{number}.sieve", "#" * 998 + "\nkeep;")
    includes = "".join(f'include "part{number}";' for number in range(20))
    path = write(tmp_path, "a", f'require "include"; {includes}')
    cache = ScriptCache()
    for _ in range(2):
        with pytest.raises(ScriptTrouble, match="/a: with all that it includes at most 5000 "):
            cache.get(path, str(tmp_path))
    assert len(read) < 7
    few = write(tmp_path, "b", 'require "include"; include "part0"; include "part1";')
    assert cache.get(few, str(tmp_path)) is not None


def test_a_wrong_one_too(tmp_path: Path, compiled: list[str]) -> None:
    cache, path = ScriptCache(), write(tmp_path, "a", "nonsense")
    for _ in range(2):
        with pytest.raises(ScriptTrouble, match=r"a:1:\d+: "):
            cache.get(path, "")
    assert compiled == ["a"]


def test_one_that_is_gone_is_none_and_one_that_comes_back_is_read(tmp_path: Path) -> None:
    cache, path = ScriptCache(), write(tmp_path, "a")
    assert cache.get(path, "") is not None
    (tmp_path / "a").unlink()
    assert cache.get(path, "") is None
    write(tmp_path, "a", "nonsense")
    with pytest.raises(ScriptTrouble):
        cache.get(path, "")


def test_what_was_not_used_for_longest_makes_room(
    tmp_path: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "CACHED", 3 * 1000)
    cache = ScriptCache()
    paths = {name: write(tmp_path, name, "#" + "x" * 490 + "\nkeep;") for name in "abcd"}
    for name in "abcadbac":
        cache.get(paths[name], "")
    assert compiled == list("abcdbc")
    assert cache._weight == sum(each.weight for each in cache._cache.values()) <= 3000


def test_one_larger_than_all_is_kept_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "CACHED", 100)
    cache = ScriptCache()
    for name in "ab":
        cache.get(write(tmp_path, name), "")
    assert len(cache._cache) == 1


@pytest.mark.parametrize(
    ("name", "good"),
    [("a", True), ("ü b.c", True), ("", False), (".a", False), ("a/b", False), ("a\nb", False), ("x" * 201, False)],
)
def test_names_of_scripts(name: str, good: bool) -> None:
    assert is_script_name(name) is good
