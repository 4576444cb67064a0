"""What is refused before a script runs, and where (RFC 5228 section 2.6; RFC 5463 `ihave`)."""

from __future__ import annotations

import pickle

import pytest

from pillarbox.lib.sieve import ALL, SieveError, compile_script
from pillarbox.lib.sieve.actions import Discard, FileInto, Keep
from pillarbox.lib.sieve.registry import COMMANDS, TESTS
from tests.sieve.asking import everything, run


@pytest.mark.parametrize(
    "script, column, expected",
    [
        ('require "nothing";', 9, 'expected an extension that is available, not "nothing"'),
        ('require ["fileinto", "x"];', 22, 'expected an extension that is available, not "x"'),
        ("require 1;", 9, "expected a list of strings (extensions) for 'require'"),
        ('keep; require "fileinto";', 7, "expected 'require' only at the beginning of the script"),
        ('fileinto "a";', 1, "expected require \"fileinto\" for 'fileinto'"),
        ('if envelope "from" "a" {}', 4, "expected require \"envelope\" for 'envelope'"),
        ('redirect :copy "a@b.c";', 10, "expected require \"copy\" for ':copy'"),
        ('vacation "x";', 1, "expected require \"vacation\" for 'vacation'"),
        ("frobnicate;", 1, "expected a command, not 'frobnicate'"),
        ("if frobnicate {}", 4, "expected a test, not 'frobnicate'"),
        ("keep {}", 1, "expected ';' behind 'keep', not a block"),
        ("if true;", 1, "expected a block in braces behind 'if'"),
        ("if {}", 1, "expected a test behind 'if'"),
        ("keep true;", 6, "expected no test behind 'keep'"),
        ("if (true) {}", 5, "expected a test without parentheses behind 'if'"),
        ("if allof true {}", 10, "expected a test in parentheses behind 'allof'"),
        ("else {}", 1, "expected 'if' before 'else'"),
        ("if true {} else {} elsif true {}", 20, "expected 'if' before 'elsif'"),
        ("keep :x;", 6, "expected a tag of 'keep', not ':x'"),
        ('if header :is :is "a" "b" {}', 15, "expected ':is' only once"),
        ('if header :is :contains "a" "b" {}', 15, "expected only one of ':is' and ':contains'"),
        ('if header "a" :is "b" {}', 15, "expected ':is' before the other arguments of 'header'"),
        ('if header :comparator 5 "a" "b" {}', 23, "expected a string behind ':comparator'"),
        ('if header :comparator "x" "a" "b" {}', 23, 'expected a comparator that is available, not "x"'),
        ('if header :comparator "i;ascii-numeric" "a" "b" {}', 23, 'expected require "comparator-i;ascii-numeric"'),
        ("if size 5 {}", 4, "expected ':over' or ':under' behind 'size'"),
        ("if size :over 5 6 {}", 17, "expected no further argument of 'size'"),
        ('redirect "nobody";', 10, 'expected an address with domain, not "nobody"'),
        ('if address "subject" "x" {}', 12, 'expected a header field with addresses, not "subject"'),
    ],
)
def test_faults(script: str, column: int, expected: str) -> None:
    with pytest.raises(SieveError) as caught:
        compile_script(script, name="s")
    assert (caught.value.line, caught.value.column, caught.value.expected) == (1, column, expected)


@pytest.mark.parametrize(
    "script, expected",
    [
        (
            'if header :contains :comparator "i;ascii-numeric" "a" "b" {}',
            "expected a comparator that can do ':contains'",
        ),
        ('if header :count "about" "a" "1" {}', 'expected one of "gt", "ge", "lt", "le", "eq", "ne"'),
        ('if header :regex "a" "(" {}', "expected a regular expression: Unmatched ( or \\("),
        ('if header :regex "a" "(a)\\\\1" {}', "expected a regular expression: References to groups are not available"),
        (
            'if header :regex "a" ["' + '", "'.join(f"(.{{200}}){{40}}{n}" for n in range(30)) + '"] {}',
            "expected less of",
        ),
        ('if header :last "a" "b" {}', "expected ':index' beside ':last'"),
        ('if header :index 0 "a" "b" {}', "expected ':index' from 1 on"),
        ('if header :anychild "a" "b" {}', "expected ':mime' beside ':anychild'"),
        ('if header :type "a" "b" {}', "expected ':mime' beside ':type'"),
        ('if envelope "by" "b" {}', 'expected one of "from", "to", "auth", not "by"'),
        ('if date "date" "decade" "b" {}', 'expected a part of a date, not "decade"'),
        ('if date :zone "CET" "date" "year" "b" {}', 'expected a zone such as "+0100", not "CET"'),
        ('set "${x}" "y";', "expected a string without variables (name)"),
        ('set "1x" "y";', 'expected the name of a variable, not "1x"'),
        ('set "x" "${a.b}";', "expected a variable, not one of the unknown namespace 'a'"),
        ('set "x" "${unicode:d800}";', "expected a Unicode character, not d800"),
        ('setflag ["a", "b"] "c";', "expected only one variable"),
        ('vacation :days 1 :seconds 1 "x";', "expected only one of ':days' and ':seconds'"),
        ('vacation :from "x" "x";', 'expected an address with domain, not "x"'),
        ('notify "xmpp:a@b.c";', 'expected a method that is available (mailto:), not "xmpp:a@b.c"'),
        ('notify :importance "0" "mailto:a@b.c";', 'expected one of "1", "2", "3"'),
        ('addheader "a b" "c";', 'expected the name of a header field, not "a b"'),
        ("break;", "expected 'break' only inside of 'foreverypart'"),
        ('foreverypart { break :name "x"; }', 'expected the name of a loop around this, not "x"'),
        ('include "a/b";', 'expected the name of a script, not "a/b"'),
        ('global "a.b";', 'expected the name of a variable, not "a.b"'),
        ('fileinto "";', "expected the name of a mailbox"),
        ('fileinto "a\nb";', "expected the name of a mailbox"),
        ('fileinto :specialuse "Junk" "a";', 'expected an attribute such as "\\\\Junk"'),
    ],
)
def test_faults_of_extensions(script: str, expected: str) -> None:
    with pytest.raises(SieveError) as caught:
        compile_script(everything() + script, name="s")
    assert caught.value.line >= 2 and caught.value.expected.startswith(expected)


def test_what_may_be_required_is_what_the_issue_names() -> None:
    named = {
        "fileinto",
        "reject",
        "ereject",
        "envelope",
        "encoded-character",
        "variables",
        "vacation",
        "vacation-seconds",
        "relational",
        "comparator-i;ascii-numeric",
        "subaddress",
        "copy",
        "body",
        "environment",
        "mailbox",
        "mboxmetadata",
        "imap4flags",
        "date",
        "index",
        "regex",
        "ihave",
        "include",
        "editheader",
        "enotify",
        "duplicate",
        "special-use",
        "spamtest",
        "virustest",
        "foreverypart",
        "mime",
        "extracttext",
    }
    assert named == ALL - {"servermetadata", "spamtestplus"}


def test_a_site_may_have_fewer_extensions() -> None:
    with pytest.raises(SieveError, match='not "vacation"'):
        compile_script('require "vacation"; vacation "x";', name="s", extensions=frozenset(("fileinto",)))


@pytest.mark.parametrize("name", ["comparator-i;octet", "comparator-i;ascii-casemap"])
def test_what_is_always_there_may_be_required(name: str) -> None:
    compile_script(f'require "{name}"; if header :comparator "{name[11:]}" "a" "b" {{}}', name="s")


def test_arguments_have_names_of_their_own() -> None:
    """Tags and arguments by place share one table of names."""
    for name, rule in (*COMMANDS.items(), *TESTS.items()):
        assert not {each.name for each in rule.positional} & set(rule.tags), name


def test_a_script_can_be_stored_in_its_internal_form() -> None:
    script = compile_script(
        everything() + 'if header :regex "subject" "h(e)" { fileinto "x"; } elsif body :matches "*a" { keep; }',
        name="s",
    )
    assert pickle.loads(pickle.dumps(script)) == script


class TestIhave:
    """RFC 5463."""

    @pytest.mark.parametrize(
        "script, action",
        [
            ('if ihave "nothing" { frobnicate :x 5; } else { discard; }', Discard()),
            ('if allof (ihave "nothing", frobnicate) { keep; } else { discard; }', Discard()),
            ('if not ihave "nothing" { discard; }', Discard()),
            ('if anyof (not ihave "nothing", frobnicate) { discard; }', Discard()),
            ('if ihave ["fileinto", "nothing"] { keep; } elsif true { discard; }', Discard()),
            ('if ihave "fileinto" { fileinto "a"; }', FileInto("a")),
            ('if allof (ihave "envelope", envelope "from" "bob@example.org") { discard; }', Discard()),
            ("if true { discard; } else { frobnicate; }", Discard()),
        ],
    )
    def test_blocks_that_cannot_be_reached_are_not_looked_at(self, script: str, action: object) -> None:
        assert run('require "ihave"; ' + script, required=False).actions == (action,)

    def test_what_is_missing_is_an_error_when_it_is_reached(self) -> None:
        result = run('require "ihave"; discard;\nfrobnicate;', required=False)
        assert result.actions == (Keep(implicit=True),)
        assert result.error == "test:2: expected a command, not 'frobnicate'"

    def test_without_ihave_it_is_one_at_once(self) -> None:
        with pytest.raises(SieveError):
            run("if false { frobnicate; }", required=False)

    def test_error_ends_the_script_with_a_text(self) -> None:
        result = run('require "ihave"; discard; error "no ${x}";', required=False)
        assert result.error == "test:1: no ${x}" and result.actions == (Keep(implicit=True),)
