"""Parameters that are mappings: from YAML to one line and back, and where a mistake is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config import ConfigError, load
from pillarbox.lib.config.mapping import DEPTH_LIMIT, BadEntry, Tree, flow, parse_mapping
from pillarbox.lib.config.parameters.delivery import RETRY, SOURCE_ADDRESSES, WARM_UP

MASTER = "smtp: {command: smtp_client}\n"

trees: st.SearchStrategy[Tree] = st.recursive(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text("abc.*:[]-é\n\"'#{", max_size=8), inner),
    max_leaves=8,
)


def composed(text: str) -> yaml.Node:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert node is not None
    return node


def as_yaml(tree: Tree) -> yaml.Node:
    if isinstance(tree, str):
        return yaml.ScalarNode("tag:yaml.org,2002:str", tree)
    if isinstance(tree, tuple):
        return yaml.SequenceNode("tag:yaml.org,2002:seq", [as_yaml(each) for each in tree])
    return yaml.MappingNode("tag:yaml.org,2002:map", [(as_yaml(key), as_yaml(value)) for key, value in tree.items()])


def depth(tree: Tree) -> int:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, tuple) else ()
    return 1 + max((depth(each) for each in inner), default=0)


class TestFlow:
    @pytest.mark.parametrize(
        ("written", "line"),
        [
            ("gmail.com: [5m, 15m]\nsmtp: 1h\n", "{gmail.com: [5m, 15m], smtp: 1h}"),
            ('"*.a.test": [give up after 2d]\n', '{"*.a.test": ["give up after 2d"]}'),
            ("2001:db8::5: {since: 2026-11-01}\n", '{"2001:db8::5": {since: 2026-11-01}}'),
            ("a.b: []\n", "{a.b: []}"),
        ],
    )
    def test_both_notations_are_one_line(self, written: str, line: str) -> None:
        assert flow(composed(written)) == line
        assert flow(composed(line)) == line

    @given(st.dictionaries(st.text("abc.*:[]-é\n\"'#{", max_size=8), trees, max_size=4))
    def test_what_was_written_is_read(self, tree: dict[str, Tree]) -> None:
        if depth(tree) <= DEPTH_LIMIT:
            line = flow(as_yaml(tree))
            assert "\n" not in line
            assert parse_mapping(line) == tree

    @pytest.mark.parametrize("text", ["", "  ", "\n"])
    def test_nothing_is_an_empty_mapping(self, text: str) -> None:
        assert parse_mapping(text) == {}

    @pytest.mark.parametrize("text", ["a", "[a]", "{a: b", "{[a]: b}", "\x00", "{a: &x {b: *x}}", "a: b: c"])
    def test_what_is_none_is_said(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"expected|not YAML|too many"):
            parse_mapping(text)

    def test_an_entry_that_stands_twice(self) -> None:
        with pytest.raises(BadEntry, match="a: stands here twice"):
            parse_mapping("{a: b, a: c}")

    @given(st.text(max_size=60))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            parse_mapping(text)
        except ValueError:
            pass

    def test_a_mapping_that_holds_itself_ends(self) -> None:
        with pytest.raises(ValueError, match="too many"):
            flow(composed("&x {a: *x}"))


class TestFiles:
    def written(self, directory: Path, main: str, master: str = MASTER) -> str:
        (directory / "main.yaml").write_text(main)
        (directory / "master.yaml").write_text(master)
        return str(directory)

    def test_a_mapping_in_main_and_in_the_options_of_a_service(self, tmp_path: Path) -> None:
        config = load(
            self.written(
                tmp_path,
                "retry:\n  gmail.com:\n    - 5m\n    - 1h\n  smtp: 30m\n"
                "warm_up: {192.0.2.5: {since: 2026-11-01, per_day: 5}}\n",
                "smtp:\n  command: smtp_client\n  options:\n    source_addresses:\n      - 192.0.2.5 a.test\n",
            )
        )
        assert config.raw("retry") == "{gmail.com: [5m, 1h], smtp: 30m}"
        assert config[RETRY].domains["gmail.com"].intervals == (300.0, 3600.0)
        assert config[WARM_UP]["192.0.2.5"].per_day == (5,)
        assert config.for_service(config.services["smtp"])[SOURCE_ADDRESSES][0].helo == "a.test"

    def test_the_same_in_one_text(self, tmp_path: Path) -> None:
        config = load(self.written(tmp_path, 'retry: "{gmail.com: [5m, 1h]}"\n'))
        assert config[RETRY].domains["gmail.com"].intervals == (300.0, 3600.0)

    @pytest.mark.parametrize(
        ("main", "problem"),
        [
            ("retry:\n  a.test: 5m\n  b.test: often\n", 'main.yaml, line 3: retry: b.test: times such as "5m"'),
            ("retry: {a.test: 5m,\n  b.test: 0s}\n", "main.yaml, line 2: retry: b.test: an interval is at least 1s"),
            ("\nretry: [5m]\n", "main.yaml, line 2: retry: a mapping such as"),
            ("retry:\n  a.test: 5m\n  a.test: 6m\n", "main.yaml, line 3: retry: a.test: stands here twice"),
            ("retry:\n  a.test: &x {a: *x}\n", "main.yaml, line 1: retry: too many"),
            ("myhostname: {a: b}\n", "main.yaml, line 1: myhostname: one value or a list"),
            ("warm_up:\n\n  x: y\n", "main.yaml, line 3: warm_up: x: an IP address was expected"),
        ],
    )
    def test_a_mistake_is_named_with_its_line(self, tmp_path: Path, main: str, problem: str) -> None:
        with pytest.raises(ConfigError) as caught:
            load(self.written(tmp_path, main))
        assert problem in str(caught.value)
