"""The types that need no file of rules: what each finds, does not find, and refuses as a name."""

from __future__ import annotations

import os
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.tables import STANDARD, LookupFailed, Maps, Options, Registry, TableError
from pillarbox.lib.tables.registry import NESTING_LIMIT


@pytest.mark.parametrize(
    ("spec", "key", "value"),
    [
        ("static:a", "anything", "a"),
        ("static:{a b}", "x", "a b"),
        ("inline:{a=b, {c = d e}}", "a", "b"),
        ("inline:{a=b, {c = d e}}", "C", "d e"),
        ("inline:{a=b}", "z", None),
        ("inline:{ a=x=y }", "a", "x=y"),
        ("randmap:{one}", "x", "one"),
        ("unionmap:{static:a,inline:{k=b},inline:{k=c}}", "k", "a,b,c"),
        ("unionmap:{inline:{k=b},inline:{k=c}}", "z", None),
        ("pipemap:{inline:{a=b},inline:{b=c}}", "a", "c"),
        ("pipemap:{inline:{a=x},inline:{b=c}}", "a", None),
        ("proxy:inline:{a=b}", "a", "b"),
    ],
)
def test_what_a_table_says(spec: str, key: str, value: str | None) -> None:
    assert STANDARD.open(spec).get(key) == value


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("foo:bar", "unsupported dictionary type: foo"),
        ("plain", 'table "plain": "type:name" was expected'),
        ("static:", 'open dictionary: expecting "type:name" form instead of "static:"'),
        ("inline:{a=b", 'bad syntax: "inline:{a=b"; need "inline:{name=value...}"'),
        ("inline:{}", 'bad syntax: "inline:{}"; need "inline:{name=value...}"'),
        ("inline:{a}", "missing '=' after attribute name"),
        ("randmap:a", 'need "randmap:{value...}"'),
        ("unionmap:a", 'need "unionmap:{type:name...}"'),
        ("pipemap:{}", 'need "pipemap:{type:name...}"'),
        ("pipemap:{foo:bar}", "unsupported dictionary type: foo"),
        ("unix:shadow.byname", "unknown table: unix:shadow.byname"),
        ("proxy:proxy:static:a", 'expecting "type:name" form'),
    ],
)
def test_a_name_that_makes_no_sense_is_refused(spec: str, message: str) -> None:
    with pytest.raises(TableError) as error:
        STANDARD.open(spec)
    assert message in str(error.value)


def test_tables_do_not_nest_without_end() -> None:
    spec = "static:a"
    for _ in range(NESTING_LIMIT + 1):
        spec = f"unionmap:{{{spec}}}"
    with pytest.raises(TableError, match="nested more than"):
        STANDARD.open(spec)
    assert STANDARD.open("static:a").get("x") == "a", "the registry works on after a refusal"


@pytest.mark.parametrize("spec", ["fail:x", "unionmap:{static:a,fail:x}", "pipemap:{static:a,fail:x}"])
def test_a_failure_is_no_answer(spec: str) -> None:
    with pytest.raises(LookupFailed):
        STANDARD.open(spec).get("k")


def test_randmap_gives_every_value_in_time() -> None:
    table = STANDARD.open("randmap:{a,{b c},d}")
    assert {table.get("x") for _ in range(500)} == {"a", "{b c}", "d"}


def test_environ_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILLARBOX_TEST", "here")
    assert STANDARD.open("environ:any").get("PILLARBOX_TEST") is None  # the key is folded
    table = STANDARD.open("environ:any", Options(fold=False))
    assert table.get("PILLARBOX_TEST") == "here"
    assert table.get("PILLARBOX_NOT_SET") is None


def test_users_are_found_by_name_folded() -> None:
    me = pwd.getpwuid(os.getuid())
    users = STANDARD.open("unix:passwd.byname")
    line = f"{me.pw_name}:x:{me.pw_uid}:{me.pw_gid}:{me.pw_gecos}:{me.pw_dir}:{me.pw_shell}"
    assert users.get(me.pw_name) == line
    assert users.get(me.pw_name.upper()) == line
    assert users.get("no-such-user-here") is None


@pytest.mark.parametrize("key", ["", "a:b", "a\0b", "a\nb", "\udcff"])
def test_no_key_confuses_the_user_database(key: str) -> None:
    assert STANDARD.open("unix:passwd.byname").get(key) is None


def test_groups_are_found_by_name() -> None:
    value = STANDARD.open("unix:group.byname").get("root")
    assert value is not None and value.startswith("root:x:0:")


def test_tables_in_a_list_are_asked_in_order() -> None:
    maps = Maps.open("test_maps", ["inline:{a=1}", "inline:{a=2,b=3}", "pcre:{{/c/ 4}}"])
    assert [maps.find(key) for key in ("a", "b", "c", "d")] == ["1", "3", "4", None]
    assert maps.find("c", partial=True) is None, "tables of patterns see whole addresses only"


def test_a_failing_table_ends_the_search_before_later_ones_answer() -> None:
    maps = Maps.open("test_maps", ["inline:{a=1}", "fail:x", "static:late"])
    assert maps.find("a") == "1"
    with pytest.raises(LookupFailed):
        maps.find("b")


def test_an_empty_value_is_a_failure_and_not_an_answer() -> None:
    with pytest.raises(LookupFailed, match="the value of a is empty"):
        Maps.open("test_maps", ["inline:{{a = }}"]).find("a")


def test_folding_can_be_off() -> None:
    table = STANDARD.open("inline:{Key=v}", Options(fold=False))
    assert table.get("Key") == "v"
    assert table.get("key") is None


def test_a_program_adds_types_of_its_own() -> None:
    registry = STANDARD.copy()
    registry.register("mine", lambda spec, options, registry: STANDARD.open("static:mine"))
    assert registry.open("mine:x").get("k") == "mine"
    assert "mine" in registry.types()
    assert "mine" not in Registry().types()


@given(st.sampled_from(STANDARD.types()), st.text(max_size=30))
def test_any_name_is_opened_or_refused(kind: str, name: str) -> None:
    try:
        table = STANDARD.open(f"{kind}:{name}")
    except TableError:
        return
    table.close()
