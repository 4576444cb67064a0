"""Vacation answers, notifications, duplicates, and the limits of a run (RFC 5230, 6131, 5435, 5436, 7352)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sieve import Limits, SieveState
from pillarbox.lib.sieve.actions import Discard, FileInto, Keep, Notify, Redirect, Remember, Vacation
from pillarbox.lib.sieve.mailto import Mailto, parse_mailto
from tests.sieve.asking import NOW, fits, run

DAY = 86400


class TestVacation:
    def answer(self, script: str, message: str = "Subject: Hi =?utf-8?q?=C3=A4?=\n\n") -> Vacation:
        result = run(script, message)
        answer, kept = result.actions
        assert isinstance(answer, Vacation) and kept == Keep(implicit=True)
        return answer

    def test_what_it_says_by_default(self) -> None:
        answer = self.answer('vacation "I am away";')
        assert (answer.reason, answer.subject, answer.seconds) == ("I am away", "Auto: Hi ä", 7 * DAY)
        assert (answer.from_, answer.addresses, answer.mime) == ("", (), False)

    def test_a_message_without_subject(self) -> None:
        assert self.answer('vacation "x";', "From: a@b.c\n\n").subject == "Automated reply"

    def test_what_the_script_says(self) -> None:
        answer = self.answer(
            'vacation :mime :days 3 :subject "Out\n of here" :from "me@example.com" :addresses ["a@b.c", "d@e.f"] '
            ':handle "h" "x";'
        )
        assert answer == Vacation("Out of here", "x", 3 * DAY, "me@example.com", ("a@b.c", "d@e.f"), True, "h")

    @pytest.mark.parametrize(
        "time, seconds", [(":days 0", DAY), (":days 9999", 365 * DAY), (":seconds 0", 0), (":seconds 90", 90)]
    )
    def test_times(self, time: str, seconds: int) -> None:
        assert self.answer(f'vacation {time} "x";').seconds == seconds

    def test_the_handle_names_the_answer(self) -> None:
        """RFC 5230 section 4.7: another reason, subject, sender or kind is another answer."""
        plain = self.answer('vacation "x";').handle
        assert plain == self.answer('vacation :days 2 :addresses "a@b.c" "x";', "Subject: other\n\n").handle
        others = ['vacation "y";', 'vacation :subject "s" "x";', 'vacation :from "a@b.c" "x";', 'vacation :mime "x";']
        assert len({plain, *(self.answer(script).handle for script in others)}) == 5

    def test_it_leaves_the_message_alone(self) -> None:
        assert run('vacation "x"; discard;').actions[-1] == Discard()

    def test_a_sender_out_of_a_variable_that_is_no_address_is_left_out(self) -> None:
        assert self.answer('set "f" "nobody"; vacation :from "${f}" "x";').from_ == ""


class TestNotify:
    def test_what_the_script_says(self) -> None:
        script = (
            'notify :from "me@example.com" :importance "1" :options ["a=b"] :message "news" "mailto:x@example.org";'
        )
        wanted = Notify("mailto:x@example.org", "news", "me@example.com", 1, ("a=b",))
        assert run(script).actions == (wanted, Keep(implicit=True))

    @pytest.mark.parametrize(
        "method, error",
        [
            ("xmpp:a@b.c", "expected a method that is available (mailto:)"),
            ("mailto:", "expected an address in a mailto: URI"),
            ("mailto:a", "expected an address with domain in a mailto: URI"),
            ("mailto:a@b.c?x y=z", "expected a mailto: URI"),
        ],
    )
    def test_methods_out_of_variables_are_checked(self, method: str, error: str) -> None:
        assert f": {error}" in run(f'set "m" "{method}"; notify "${{m}}";').error
        assert not fits(f'valid_notify_method "{method}"')

    def test_importance_out_of_a_variable(self) -> None:
        assert "expected an importance" in run('set "i" "9"; notify :importance "${i}" "mailto:a@b.c";').error

    def test_capabilities(self) -> None:
        assert fits('notify_method_capability "mailto:a@b.c" "ONLINE" "maybe"')
        assert not fits('notify_method_capability :contains "mailto:a@b.c" "other" ""')
        assert not fits('notify_method_capability :contains "xmpp:a@b.c" "online" ""')

    @pytest.mark.parametrize(
        "uri, parsed",
        [
            ("mailto:a@b.c", Mailto(("a@b.c",))),
            ("MAILTO:a@b.c,d%40e.f?to=g@h.i&cc=j@k.l", Mailto(("a@b.c", "d@e.f", "g@h.i"), ("j@k.l",))),
            ("mailto:?to=a@b.c", Mailto(("a@b.c",))),
            ("mailto:a@b.c%2cd@e.f?cc=d@e.f,a@b.c,g@h.i", Mailto(("a@b.c", "d@e.f"), ("g@h.i",))),
            ("mailto:a@b.c?Subject=x%C3%A4%0d%0aBcc:%20e", Mailto(("a@b.c",), subject="xä Bcc: e")),
            ("mailto:a@b.c?body=1%0D%0A2", Mailto(("a@b.c",), body="1\r\n2")),
            ("mailto:a@b.c?From=x&bcc=y@z.w&X-A=1%0a2&in-reply-to=%3C1@2%3E",
             Mailto(("a@b.c",), fields=(("X-A", "1 2"), ("in-reply-to", "<1@2>")))),
        ],
    )  # fmt: skip
    def test_uris(self, uri: str, parsed: Mailto) -> None:
        """RFC 6068; RFC 5436 section 2.7: fields that lie about the message are left out."""
        assert parse_mailto(uri) == parsed

    @given(st.text("mailto:?&=%20aA@b.c,\r\n\0é"))
    def test_no_uri_brings_a_line_into_a_header(self, text: str) -> None:
        try:
            found = parse_mailto("mailto:" + text)
        except ValueError:
            return
        for each in (*found.to, *found.cc, found.subject or "", *sum(found.fields, ())):
            assert "\n" not in each and "\r" not in each


class TestDuplicate:
    def asked(self, script: str, seen: bool = False, message: str = "Message-ID: <1@x>\nA: b\n\n") -> tuple:  # type: ignore[type-arg]
        questions: list[tuple[str, int]] = []

        def ask(identification: str, seconds: int) -> bool:
            questions.append((identification, seconds))
            return seen

        result = run(f"if {script} {{ discard; }}", message, state=SieveState(now=NOW, duplicate_seen=ask))
        assert not result.error
        return Discard() in result.actions, questions, result.remember

    def test_a_new_message_is_remembered(self) -> None:
        held, [(identification, seconds)], remember = self.asked("duplicate")
        assert (held, seconds, remember) == (False, 7 * DAY, (Remember(identification, 7 * DAY),))

    def test_a_known_one_is_a_duplicate_and_its_time_stays(self) -> None:
        held, _, remember = self.asked("duplicate :seconds 60", seen=True)
        assert held and remember == ()

    def test_with_last_its_time_begins_anew(self) -> None:
        held, [(identification, _)], remember = self.asked("duplicate :seconds 60 :last", seen=True)
        assert held and remember == (Remember(identification, 60),)

    def test_what_names_a_message(self) -> None:
        tests = [
            "duplicate",
            'duplicate :handle "h"',
            'duplicate :header "a"',
            'duplicate :uniqueid "b"',
            'duplicate :uniqueid "<1@x>"',
            'duplicate :uniqueid "c" :handle "h"',
        ]
        assert len({self.asked(test)[1][0][0] for test in tests}) == len(tests)

    @pytest.mark.parametrize(
        "test", ['duplicate :header "none"', 'duplicate :uniqueid ""', 'duplicate :uniqueid "${x}"']
    )
    def test_what_has_no_name_is_no_duplicate(self, test: str) -> None:
        assert self.asked(test, seen=True) == (False, [], ())

    def test_asking_twice_gives_one_answer(self) -> None:
        held, questions, remember = self.asked("anyof (duplicate, duplicate)")
        assert not held and len(questions) == 2 and len(remember) == 1

    def test_a_script_that_fails_remembers_nothing(self) -> None:
        assert run('if duplicate {} error "x";').remember == ()


class TestLimits:
    def state(self, **limits: int) -> SieveState:
        return SieveState(now=NOW, limits=Limits(**limits))

    def test_actions(self) -> None:
        script = "".join(f'fileinto "{number}";' for number in range(5))
        assert len(run(script, state=self.state(actions=5)).actions) == 5
        assert run(script, state=self.state(actions=4)).error.endswith("more than 4 actions")

    def test_redirects(self) -> None:
        script = "".join(f'redirect "{number}@example.org";' for number in range(4))
        assert all(isinstance(each, Redirect) for each in run(script).actions)
        assert run(script + 'redirect "5@example.org";').error.endswith("more than 4 redirects")

    def test_work(self) -> None:
        script = 'if body :contains "nothing" { keep; }' * 1000
        message = "A: b\n\n" + "x" * 10_000
        assert run(script, message, state=self.state(work=10_500_000)).error.endswith("the script takes too long")
        assert not run(script, message, state=self.state(work=13_000_000)).error

    def test_variables(self) -> None:
        script = "".join(f'set "v{number}" "x";' for number in range(10)) + 'set "v1" "y";'
        assert not run(script, state=self.state(variables=10)).error
        assert run(script, state=self.state(variables=9)).error.endswith("more than 9 variables")

    def test_a_string_that_doubles_is_cut(self) -> None:
        script = 'set "a" "x";' + 'set "a" "${a}${a}";' * 200 + 'set :length "n" "${a}"; fileinto "${n}";'
        assert run(script, state=self.state(variable_size=1000)).actions == (FileInto("1000"),)

    def test_a_hostile_expression_costs_its_steps(self) -> None:
        script = 'if header :regex "a" "(a*)*(b*)*(a|b)*c" { keep; }' * 50
        result = run(script, "A: " + "ab" * 400 + "\n\n", state=self.state(work=500_000))
        assert result.error.endswith("the script takes too long")
