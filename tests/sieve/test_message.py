"""Bodies, parts, dates and edited headers (RFC 5173, 5703, 5260, 5293)."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.message.date import parse_zoned
from pillarbox.lib.sieve import Limits, SieveMessage, SieveState, compile_script, execute
from pillarbox.lib.sieve.actions import Discard, FileInto, Keep, Redirect
from pillarbox.lib.sieve.header import Header
from pillarbox.lib.sieve.html_text import html_text
from tests.sieve.asking import NOW, becomes, everything, fits, run
from tests.sieve.corpus import MESSAGES

PARTS = MESSAGES["parts"]


class TestBody:
    @pytest.mark.parametrize(
        "test, held",
        [
            ('body :raw :contains "--outer"', True),
            ('body :raw :contains "secret"', False),
            ('body :text :contains "alternative & html"', True),
            ('body :text :contains "inner body text"', True),
            ('body :text :contains "prologue"', False),
            ('body :content "text/html" :contains "<b>alter</b>"', True),
            ('body :content "application" :is "secret binary"', True),
            ('body :content ["image", "audio/x"] :contains ""', False),
            ('body :content "multipart" :contains "prologue text"', True),
            ('body :content "multipart" :contains "epilogue text"', True),
            ('body :content "multipart" :contains "plain"', False),
            ('body :content "message" :contains "inner subject"', True),
            ('body :content "message" :contains "inner body"', False),
            ('body :content "text/" :contains ""', False),
            ('body :content "" :contains "inner body"', True),
            ('body :content "text" :count "eq" :comparator "i;ascii-numeric" "4"', True),
        ],
    )
    def test_where_it_looks(self, test: str, held: bool) -> None:
        assert fits(test, PARTS) is held

    def test_a_message_without_body_is_none_with_an_empty_one(self) -> None:
        """RFC 5173 section 4."""
        assert not fits('body :raw :contains ""', "A: b\n") and not fits('body :matches "*"', "A: b\n")
        assert fits('body :raw ""', "A: b\n\n")

    def test_line_ends_are_those_of_mail(self) -> None:
        for message in (b"A: b\n\none\ntwo\n", b"A: b\r\n\r\none\r\ntwo\r\n"):
            assert fits('body :raw "one\r\ntwo\r\n"', message)

    def test_it_is_read_once_and_only_where_a_test_looks(self) -> None:
        reads: list[int] = []

        def body() -> tuple[bytes, ...]:
            reads.append(1)
            return (b"te", b"xt\n")

        message = SieveMessage(b"A: b\n", 10, body)
        execute(compile_script('if header "a" "c" {}', name="s"), message, SieveState(now=NOW))
        assert reads == []
        script = (
            everything()
            + 'if anyof (body "x", body :raw "y", body :content "text" "z", body :contains "text") { stop; }'
        )
        execute(compile_script(script, name="s"), message, SieveState(now=NOW))
        assert reads == [1]

    def test_what_is_beyond_the_limit_is_not_seen_and_not_read(self) -> None:
        def body():  # type: ignore[no-untyped-def]
            yield b"a" * 900
            yield b"b" * 900
            raise AssertionError("read beyond the limit")

        state = SieveState(now=NOW, limits=Limits(body_size=1000))
        script = compile_script(everything() + 'if body :matches "*ab*" { discard; }', name="s")
        assert not execute(script, SieveMessage(b"A: b\n", 10, body), state).error

    @pytest.mark.parametrize(
        "written, text",
        [
            ("<p>a<b>b</b></p>c", "\r\nab\r\nc"),
            ("<style>x { y }</style>a<script>if (a < b) c</script>b", "ab"),
            ("a<!-- x -- > -->b &lt;c&gt; &auml;", "ab <c> ä"),
            ("<script>never ends", ""),
            ("a < b", "a < b"),
        ],
    )
    def test_marks_of_html_are_not_seen(self, written: str, text: str) -> None:
        assert html_text(written) == text

    @given(st.text("<>!-/abscript &;"))
    def test_any_html_has_a_text(self, written: str) -> None:
        html_text(written)

    def test_html_is_read_in_linear_time(self) -> None:
        """With going back this would not end before the tests do."""
        assert html_text("<script" * 100_000) == ""
        assert html_text("<!--" * 100_000 + "<" * 100_000) == ""
        assert html_text("<" * 100_000) == "<" * 100_000


class TestParts:
    def test_a_loop_sees_the_message_and_each_part(self) -> None:
        script = (
            'foreverypart { if header :mime :contenttype :matches "content-type" "*" { set "t" "${1}"; } else '
            '{ set "t" "-"; } set "all" "${all} ${t}"; }'
        )
        assert becomes("${all}", PARTS, before=script) == (
            " multipart/mixed text/plain application/octet-stream message/rfc822 - application/x-stuff "
            "multipart/alternative text/plain text/html"
        )

    def test_without_mime_a_loop_changes_nothing_for_a_test(self) -> None:
        script = 'foreverypart { if header "subject" "parts" { set "n" "${n}i"; } }'
        assert becomes("${n}", PARTS, before=script) == "i" * 9

    def test_break_ends_the_loop_that_it_names(self) -> None:
        script = 'foreverypart :name "a" { set "n" "${n}i"; foreverypart :name "b" { break :name "a"; } }'
        assert becomes("${n}", PARTS, before=script) == "i"
        assert becomes("${n}", PARTS, before=script.replace(':name "a"; }', ':name "b"; }')) == "i" * 9

    def test_text_is_extracted_from_the_part(self) -> None:
        script = 'foreverypart { if header :mime :subtype "content-type" "html" { extracttext :first 6 :upper "t"; } }'
        assert becomes("${t}", PARTS, before=script).strip() == "ALTERN"

    def test_there_is_nothing_to_extract_outside_of_a_loop(self) -> None:
        assert "only inside of 'foreverypart'" in run('extracttext "x";').error

    def test_a_blank_value_is_read_in_linear_time(self) -> None:
        """With going back this would not end before the tests do."""
        assert not fits('header :mime :type "content-type" "x"', "Content-Type: x" + " " * 200_000 + "y\n\n")

    def test_a_message_of_very_many_parts_ends(self) -> None:
        message = b"Content-Type: multipart/mixed; boundary=a\n\n" + b"--a\n\nx\n" * 20_000
        script = 'foreverypart { if anyof (body :contains "y", header :mime :anychild "a" "b") { keep; } }'
        assert run(script, message).error.endswith("takes too long")


class TestDates:
    @pytest.mark.parametrize(
        "part, value",
        [
            ("year", "2026"),
            ("month", "03"),
            ("day", "03"),
            ("date", "2026-03-03"),
            ("julian", "61102"),
            ("hour", "13"),
            ("minute", "05"),
            ("second", "06"),
            ("time", "13:05:06"),
            ("iso8601", "2026-03-03T13:05:06+00:00"),
            ("std11", "Tue, 03 Mar 2026 13:05:06 +0000"),
            ("zone", "+0000"),
            ("weekday", "2"),
        ],
    )
    def test_parts(self, part: str, value: str) -> None:
        assert fits(f'date "date" "{part.upper()}" "{value}"')
        assert fits(f'currentdate "{part}" "{value}"')

    def test_the_zone_is_the_places_unless_it_is_given(self) -> None:
        berlin = SieveState(now=NOW, zone=ZoneInfo("Europe/Berlin"))
        assert fits('currentdate "hour" "14"', state=berlin)
        assert fits('currentdate :zone "-0330" "time" "09:35:06"', state=berlin)
        assert fits('date :originalzone "date" "zone" "+0100"', state=berlin)

    def test_a_zone_out_of_a_variable(self) -> None:
        assert becomes("${1}", before='set "z" "+0200"; if currentdate :zone "${z}" :matches "hour" "*" {}') == "15"
        assert "expected a zone" in run('set "z" "CET"; if currentdate :zone "${z}" "hour" "1" {}').error

    def test_received_has_its_date_at_its_end(self) -> None:
        assert fits('date :index 2 :originalzone "received" "time" "13:05:07"')
        assert fits('date :index 1 :last :originalzone "received" "second" "07"')
        assert fits('date :count "eq" :comparator "i;ascii-numeric" "received" "year" "2"')

    @pytest.mark.parametrize("value", ["", "tomorrow", "Tue, 31 Feb 2026 00:00:00 +0000", "31 Dec 9999 23:59:59 -1400"])
    def test_what_is_no_date_has_no_part(self, value: str) -> None:
        assert not fits('date :contains "date" "year" ""', f"Date: {value}\n\n")

    def test_a_zone_is_read_with_its_date(self) -> None:
        assert parse_zoned("Tue, 3 Mar 2026 08:05:06 EST") == (NOW, -300)


class TestEditing:
    BLOCK = b"A: 1\nB: x\n y\nA: 2\nReceived: r\nAuto-Submitted: no\nA: 3\n"

    def edited(self, script: str) -> bytes | None:
        result = run(script, self.BLOCK + b"\nbody\n")
        assert not result.error and isinstance(result.actions[-1], Keep)
        return result.actions[-1].header

    @pytest.mark.parametrize(
        "script, gone",
        [
            ('deleteheader "a";', ["A: 1\n", "A: 2\n", "A: 3\n"]),
            ('deleteheader :index 1 "A";', ["A: 1\n"]),
            ('deleteheader :index 1 :last "a";', ["A: 3\n"]),
            ('deleteheader :is "a" "2";', ["A: 2\n"]),
            ('deleteheader :index 1 :is "a" "2";', []),
            ('deleteheader :matches "b" "x*";', ["B: x\n y\n"]),
            ('deleteheader :contains "a" ["1", "3"];', ["A: 1\n", "A: 3\n"]),
            ('deleteheader :count "ge" :comparator "i;ascii-numeric" "a" "3";', ["A: 1\n", "A: 2\n", "A: 3\n"]),
            ('deleteheader "received"; deleteheader "AUTO-submitted"; deleteheader "none";', []),
        ],
    )
    def test_deleteheader(self, script: str, gone: list[str]) -> None:
        wanted = self.BLOCK.decode()
        for each in gone:
            wanted = wanted.replace(each, "")
        assert self.edited(script) == (wanted.encode() if gone else None)

    def test_addheader(self) -> None:
        assert self.edited('addheader "X" "top"; addheader :last "Y" "end";') == b"X: top\n" + self.BLOCK + b"Y: end\n"

    def test_a_value_makes_one_field_however_it_is_written(self) -> None:
        found = self.edited('addheader "X" "a\nBcc: b";')
        assert found == b"X: a Bcc: b\n" + self.BLOCK
        assert self.edited('addheader "X" "Grüße";') == b"X: =?utf-8?B?R3LDvMOfZQ==?=\n" + self.BLOCK

    def test_tests_see_the_new_header_and_actions_that_of_their_time(self) -> None:
        script = 'fileinto "a"; addheader "X" "1"; redirect "a@b.c"; if header "x" "1" { deleteheader "x"; }'
        one, two, three = run(script + 'fileinto "b";', self.BLOCK + b"\n").actions
        assert isinstance(one, FileInto) and one.header is None
        assert isinstance(two, Redirect) and two.header == b"X: 1\n" + self.BLOCK
        assert isinstance(three, FileInto) and three.header == self.BLOCK

    def test_size_is_that_of_the_edited_message(self) -> None:
        message = b"A: 1\nB: 2\n\nbody\n"
        for script, size in (('deleteheader "b";', len(message) - 5), ('addheader "XY" "z";', len(message) + 6)):
            tests = f"allof (not size :over {size}, not size :under {size})"
            assert run(f"{script} if {tests} {{ discard; }}", message).actions == (Discard(),)

    def test_line_ends_are_those_of_the_header(self) -> None:
        header = Header(b"A: 1\r\n")
        header.add("B", "2", last=True)
        assert header.block() == b"A: 1\r\nB: 2\r\n"

    def test_what_is_no_field_stays(self) -> None:
        header = Header(b"A: 1\nnonsense\nB: 2\n")
        header.add("X", "3", last=True)
        assert header.block() == b"A: 1\nX: 3\nnonsense\nB: 2\n"

    def test_a_header_without_its_last_line_end(self) -> None:
        header = Header(b"A: 1")
        header.add("B", "2", last=True)
        assert header.block() == b"A: 1\nB: 2\n"

    def test_what_is_added_has_a_limit(self) -> None:
        script = 'set "v" "' + "v" * 60_000 + '";' + 'addheader "X" "${v}";' * 5
        assert "octets of header fields" in run(script).error

    def test_names_out_of_variables_are_checked(self) -> None:
        assert "expected the name of a header field" in run('set "n" "a b"; addheader "${n}" "x";').error

    def test_a_value_of_any_characters_is_encoded(self) -> None:
        assert self.edited('addheader "X" "a${hex:0}";') == b"X: =?utf-8?B?YQA=?=\n" + self.BLOCK

    @given(st.lists(st.tuples(st.sampled_from("AB"), st.text("xy \n", max_size=5), st.booleans()), max_size=5))
    def test_any_edits_leave_a_header(self, fields: list[tuple[str, str, bool]]) -> None:
        header = Header(self.BLOCK)
        for name, value, last in fields:
            header.add(name, value, last=last)
        block = header.block() or self.BLOCK
        assert len(Header(block).fields) == 6 + len(fields)
