"""Actions, their order, and what becomes of the implicit keep (RFC 5228 sections 2.10 and 4; RFC 3894, 5232, 5429)."""

from __future__ import annotations

import pytest

from pillarbox.lib.sieve import SieveState
from pillarbox.lib.sieve.actions import Action, Discard, FileInto, Keep, Notify, Redirect, Reject
from tests.sieve.asking import NOW, run

IMPLICIT = Keep(implicit=True)
OTHER = Redirect("x@example.net")


@pytest.mark.parametrize(
    "script, actions",
    [
        ("", (IMPLICIT,)),
        ("keep;", (Keep(),)),
        ("stop; discard;", (IMPLICIT,)),
        ("discard;", (Discard(),)),
        ("discard; keep;", (Discard(), Keep())),
        ('fileinto "a";', (FileInto("a"),)),
        ('fileinto "a"; fileinto "b"; keep;', (FileInto("a"), FileInto("b"), Keep())),
        ('fileinto "a"; fileinto "a";', (FileInto("a"),)),
        ('keep; fileinto "inbox";', (Keep(),)),
        ('fileinto :copy "a";', (FileInto("a", copy=True), IMPLICIT)),
        ('fileinto :copy "a"; fileinto "a";', (FileInto("a"),)),
        ('fileinto :copy "INBOX";', (FileInto("INBOX", copy=True),)),
        ('redirect "x@example.net";', (OTHER,)),
        ('redirect :copy "x@example.net";', (Redirect("x@example.net", copy=True), IMPLICIT)),
        ('redirect "x@example.net"; redirect "X <x@example.net>"; keep;', (OTHER, Keep())),
        ('fileinto :create "a";', (FileInto("a", create=True),)),
        ('fileinto "a"; fileinto :create "a";', (FileInto("a", create=True),)),
        (r'fileinto :specialuse "\\Junk" "Spam";', (FileInto("Spam", special_use="\\Junk"),)),
        (
            r'fileinto :specialuse "\\Junk" "Spam"; fileinto "Spam";',
            (FileInto("Spam", special_use="\\Junk"), FileInto("Spam")),
        ),
        ('reject "no";', (Reject("no"),)),
        ('ereject "no";', (Reject("no", extended=True),)),
        ('discard; reject "no";', (Discard(), Reject("no"))),
        ('notify "mailto:a@b.c"; notify "mailto:a@b.c";', (Notify("mailto:a@b.c"), IMPLICIT)),
    ],
)
def test_what_is_done(script: str, actions: tuple[Action, ...]) -> None:
    result = run(script)
    assert (result.actions, result.error) == (actions, "")


@pytest.mark.parametrize(
    "script, error",
    [
        ('reject "a"; reject "b";', "the message is rejected twice"),
        ('ereject "a"; reject "b";', "the message is rejected twice"),
        ('keep; reject "b";', "a rejected message can neither be kept nor sent on"),
        ('reject "b"; fileinto "x";', "a rejected message can neither be kept nor sent on"),
        ('redirect "a@b.c"; ereject "b";', "a rejected message can neither be kept nor sent on"),
        ('vacation "a"; reject "b";', "a rejected message gets no vacation answer"),
        ('vacation "a"; vacation "b";', "a second vacation answer"),
        ('set "a" "nobody"; redirect "${a}";', 'expected an address to redirect to, not "nobody"'),
        ('set "a" "${hex: 7}"; fileinto "${a}";', 'expected the name of a mailbox, not "\x07"'),
        ('fileinto "${none}";', 'expected the name of a mailbox, not ""'),
    ],
)
def test_a_script_that_fails_keeps_the_message_and_does_nothing_else(script: str, error: str) -> None:
    """RFC 5228 section 2.10.6."""
    result = run('redirect :copy "first@example.net";\n' + script if "reject" not in script else "\n" + script)
    assert result.actions == (IMPLICIT,)
    assert result.error == f"test:3: {error}"
    assert result.remember == ()


class TestFlags:
    """RFC 5232."""

    @pytest.mark.parametrize(
        "script, flags",
        [
            (r'setflag "\\seen"; ', ("\\Seen",)),
            (r'setflag ["\\SEEN a", "A b"];', ("\\Seen", "a", "b")),
            (r'setflag "a"; addflag ["b", "a"]; removeflag "A";', ("b",)),
            (r'setflag "a"; setflag "b";', ("b",)),
            (r'setflag "a"; setflag "";', ()),
            (r'setflag "a(b) \\Recent \\Foo % ok";', ("ok",)),
        ],
    )
    def test_the_internal_variable(self, script: str, flags: tuple[str, ...]) -> None:
        assert run(script).actions == (Keep(flags, implicit=True),)
        assert run(script + "keep;").actions == (Keep(flags),)
        assert run(script + 'fileinto "a";').actions == (FileInto("a", flags),)

    def test_an_action_has_the_flags_of_its_time_or_its_own(self) -> None:
        script = (
            'fileinto "a"; addflag "x"; fileinto "b"; addflag "y"; fileinto :flags "z" "c"; fileinto :flags "" "d";'
        )
        wanted = (FileInto("a"), FileInto("b", ("x",)), FileInto("c", ("z",)), FileInto("d"))
        assert run(script).actions == wanted

    def test_variables_hold_flags(self) -> None:
        script = 'addflag "v" ["a b", "A"]; removeflag "v" "b"; addflag "v" "c"; fileinto :flags "${v}" "x${v}";'
        assert run(script).actions == (FileInto("xa c", ("a", "c")),)

    @pytest.mark.parametrize(
        "test, held",
        [
            ('hasflag "A"', True),
            ('hasflag :contains "LU"', True),
            ('hasflag :matches "b*e"', True),
            ('hasflag ["x", "y"]', False),
            ('hasflag "x A"', True),
            ('hasflag :contains "x y" ', False),
            ('hasflag "${none} a"', True),
            ('hasflag ""', False),
            ('hasflag :count "ge" :comparator "i;ascii-numeric" "2"', True),
            ('hasflag ["one", "two"] "q"', True),
            ('hasflag "one" "q"', False),
            ('hasflag :count "eq" :comparator "i;ascii-numeric" ["one", "two"] "3"', True),
        ],
    )
    def test_hasflag(self, test: str, held: bool) -> None:
        script = f'set "one" "p"; set "two" "q r"; setflag ["a", "blue"]; if {test} {{ discard; }}'
        assert (Discard() in run(script).actions) is held


def test_the_state_is_asked_about_mailboxes_only_where_a_test_asks() -> None:
    asked: list[str] = []
    state = SieveState(now=NOW, mailbox_exists=lambda name: bool(asked.append(name)) or name == "a")
    assert run('fileinto "b"; if mailboxexists ["a", "b", "c"] { discard; }', state=state).actions == (FileInto("b"),)
    assert asked == ["a", "b"]
