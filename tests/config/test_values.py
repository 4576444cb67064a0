"""The syntax of values, and the expansion of references."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config import Config
from pillarbox.lib.config.errors import nearest
from pillarbox.lib.config.expansion import expand, references
from pillarbox.lib.config.parameter import parse_seconds, split_words
from pillarbox.lib.config.parameters.general import MYDESTINATION, MYNETWORKS, MYORIGIN


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("0", 0),
            ("7", 7),
            ("30s", 30),
            ("5m", 300),
            ("4h", 14400),
            ("5d", 432000),
            ("1w", 604800),
            ("1h30m", 5400),
            ("0.5s", 0.5),
        ],
    )
    def test_right(self, text: str, seconds: float) -> None:
        assert parse_seconds(text) == seconds

    @pytest.mark.parametrize("text", ["", "x", "5y", "-1s", "5 m", "s", "1.s", "5M", "1e3", "٣s x"])
    def test_wrong(self, text: str) -> None:
        with pytest.raises(ValueError, match="a time such as"):
            parse_seconds(text)


class TestNetworks:
    def test_right(self) -> None:
        items = ("192.0.2.0/24", "[2001:db8::]/32", "::1", "!192.0.2.7")
        assert Config.for_tests(mynetworks=", ".join(items))[MYNETWORKS] == items

    @pytest.mark.parametrize("item", ["mx.example", "192.0.2.1/24", "192.0.2.256", "192.0.2.0/33", "/8", "hash:x"])
    def test_wrong(self, item: str) -> None:
        with pytest.raises(ValueError, match=re.escape(item)):
            MYNETWORKS.parse(f"127.0.0.0/8, {item}")


class TestLists:
    @pytest.mark.parametrize(
        ("raw", "words"),
        [
            ("", ()),
            ("a", ("a",)),
            ("a b,c ,\n\td,", ("a", "b", "c", "d")),
            (("a b", "c"), ("a", "b", "c")),
            ("{ a b } c", ("{ a b }", "c")),
            ("inline:{{a = b, c}, d} e", ("inline:{{a = b, c}, d}", "e")),
            ("a} b", ("a}", "b")),
            ("{a b", ("{a b",)),
        ],
    )
    def test_words(self, raw: str | tuple[str, ...], words: tuple[str, ...]) -> None:
        assert split_words(raw) == words

    @given(st.text(alphabet="ab{}, \n"))
    def test_nothing_but_separators_is_lost(self, text: str) -> None:
        kept = "".join(split_words(text))
        assert "".join(kept.split()).replace(",", "") == "".join(text.split()).replace(",", "")


class TestExpansion:
    VALUES = {"a": "A", "b": "<$a>", "empty": "", "circle": "$circle", "one": "$two", "two": "x${one}"}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("plain", "plain"),
            ("$a", "A"),
            ("${a}x", "Ax"),
            ("$a.$b", "A.<A>"),
            ("$$a", "$a"),
            ("$", "$"),
            ("$1", "$1"),
            ("${a?yes}", "yes"),
            ("${a:no}", ""),
            ("${empty?yes}", ""),
            ("${empty:$a}", "A"),
            ("${a", "${a"),
        ],
    )
    def test_right(self, text: str, wanted: str) -> None:
        assert expand(text, self.VALUES.__getitem__) == wanted

    @pytest.mark.parametrize("text", ["$circle", "$one", "${empty:$circle}"])
    def test_circles(self, text: str) -> None:
        with pytest.raises(ValueError, match="in a circle"):
            expand(text, self.VALUES.__getitem__)

    def test_a_name_that_is_none(self) -> None:
        with pytest.raises(ValueError, match=r'"\$nosuch" names no parameter'):
            expand("$nosuch", self.VALUES.__getitem__)

    def test_names_that_are_referred_to(self) -> None:
        assert references("$a ${b} ${c?$d} $$e") == ("a", "b", "c")


class TestConfig:
    def test_defaults_hold_where_nothing_is_set(self) -> None:
        config = Config.for_tests(myhostname="mx.test", mydomain="test")
        assert config[MYORIGIN] == "mx.test"
        assert config[MYDESTINATION] == ("mx.test", "localhost.test", "localhost")

    def test_a_name_that_no_parameter_has(self) -> None:
        with pytest.raises(KeyError):
            Config.for_tests().raw("nosuch")

    def test_what_is_known_only_at_use_is_left_alone(self) -> None:
        from pillarbox.lib.config.values import all_parameters

        late = [parameter for parameter in all_parameters().values() if parameter.at_use]
        assert late
        for parameter in late:
            assert Config.for_tests(**{parameter.name: "$user/$nosuch"})[parameter] == "$user/$nosuch"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mydestinaton", '; did you mean "mydestination"?'), ("zzz", ""), ("", "")],
)
def test_the_nearest_name(name: str, hint: str) -> None:
    assert nearest(name, ["mydestination", "myorigin"]) == hint
