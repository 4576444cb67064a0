"""The rules of the formal syntax."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.imapd.commands import COMMANDS
from pillarbox.imapd.commands.command import Syntax
from pillarbox.imapd.commands.pattern import Pattern
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.dates import format_date_time, parse_date_time
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.sequence import STAR, format_set
from tests.feeding import truncations, with_trailing


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"INBOX", b"INBOX"),
        (b'"a b"', b"a b"),
        (b'"a \\"b\\" \\\\"', b'a "b" \\'),
        (b"{5}\r\na\r\nb)", b"a\r\nb)"),
        (b"{0}\r\n", b""),
        (b"a]b", b"a]b"),
        (b"a%b", None),
        (b'"a', None),
        (b'"a\\n"', None),
        (b"", None),
        (b"{9}\r\nshort", None),
    ],
)
def test_astring(text: bytes, expected: bytes | None) -> None:
    cursor = Cursor(text)
    if expected is not None:
        assert cursor.astring() == expected
        assert cursor.at_end
        return
    with pytest.raises(BadSyntax):
        cursor.astring()
        cursor.end()


@given(st.binary(max_size=50).filter(lambda data: b"\0" not in data))
def test_strings_written_are_strings_read(data: bytes) -> None:
    assert Cursor(response.string(data)).string() == data
    assert Cursor(response.astring(data)).astring() == data


@given(st.text(max_size=20).filter(lambda text: "\0" not in text))
def test_mailbox_names_written_are_names_read(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    expected = "INBOX" if name.upper() == "INBOX" else name
    assert Cursor(response.mailbox(name)).mailbox() == expected


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        (b"1", 3, [1]),
        (b"1:3", 3, [1, 2, 3]),
        (b"3:1", 3, [1, 2, 3]),
        (b"*", 3, [3]),
        (b"2:*", 3, [2, 3]),
        (b"*:2", 3, [2, 3]),
        (b"1,3,1:2", 3, [1, 2, 3]),
        (b"4", 3, None),
        (b"*", 0, None),
        (b"5:*", 3, None),
    ],
)
def test_sequence_numbers(text: bytes, count: int, expected: list[int] | None) -> None:
    assert Cursor(text).sequence_set().numbers(count) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"1:*", [0, 1, 2]), (b"5:7", [1]), (b"*", [2]), (b"100:*", [2]), (b"4", []), (b"9,2", [0, 2]), (b"1", [])],
)
def test_uids_that_are_not_there_are_passed_over(text: bytes, expected: list[int]) -> None:
    assert Cursor(text).sequence_set().indexes(lambda uid: bisect_left([2, 6, 9], uid), 9) == expected


@pytest.mark.parametrize("text", [b"0", b"1:", b":1", b"1,,2", b"a", b"1:0", b"4294967296", b""])
def test_bad_sequence_sets(text: bytes) -> None:
    with pytest.raises(BadSyntax):
        cursor = Cursor(text)
        cursor.sequence_set()
        cursor.end()


def test_large_numbers_name_no_message_without_effort() -> None:
    numbers = Cursor(b"1:4294967295").sequence_set()
    assert numbers.numbers(3) is None
    assert numbers.indexes(lambda uid: bisect_left([1, 2], uid), 2) == [0, 1]
    assert numbers.ranges == ((1, STAR - 1),)


@given(st.sets(st.integers(1, 60)))
def test_sets_written_are_sets_read(numbers: set[int]) -> None:
    text = format_set(sorted(numbers))
    if numbers:
        assert Cursor(text).sequence_set().numbers(60) == sorted(numbers)
    else:
        assert text == b""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b'"17-Jul-1996 02:44:25 -0700"', 837596665.0),
        (b'" 1-jan-1970 01:00:00 +0100"', 0.0),
        (b'"1-Jan-1970 00:00:00 +0000"', 0.0),
    ],
)
def test_date_time(text: bytes, seconds: float) -> None:
    assert parse_date_time(Cursor(text)) == seconds


@given(st.integers(0, 4_000_000_000))
def test_dates_written_are_dates_read(when: int) -> None:
    assert parse_date_time(Cursor(format_date_time(when))) == when


@pytest.mark.parametrize(
    "text", [b'"32-Jan-2000 00:00:00 +0000"', b'"1-Foo-2000 00:00:00 +0000"', b'"x"', b"1-Jan-2000"]
)
def test_bad_date_time(text: bytes) -> None:
    with pytest.raises(BadSyntax):
        parse_date_time(Cursor(text))


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "a/b", True),
        ("%", "a/b", False),
        ("%", "a", True),
        ("%/%", "a/b", True),
        ("a*", "abc/d", True),
        ("inbox", "INBOX", True),
        ("INB%", "INBOX", True),
        ("*c", "a/b/c", True),
        ("a%c", "abbc", True),
        ("a%c", "ab/c", False),
        ("", "a", False),
    ],
)
def test_list_patterns(pattern: str, name: str, expected: bool) -> None:
    assert Pattern(pattern).matches(name) is expected


def test_hostile_patterns_are_refused_or_cheap() -> None:
    assert not Pattern("*a" * 30).matches("a" * 5000 + "b")
    assert Pattern("*" * 5000 + "a").matches("ba")
    with pytest.raises(BadSyntax):
        Pattern("*a" * 200)


ARGUMENTS = {
    b"FETCH": b' 1:*,5 (UID BODY.PEEK[1.2.HEADER.FIELDS (SUBJECT "X Y")]<0.10> RFC822.SIZE) (CHANGEDSINCE 7)',
    b"APPEND": b' INBOX (\\Seen) CATENATE (URL "/INBOX/;UID=1" URL {3}\r\n/a;)',
    b"REPLACE": b' 4 INBOX CATENATE (URL "/INBOX/;UID=1")',
    b"DELETEACL": b' INBOX "-bob"',
    b"GETACL": b" INBOX",
    b"LISTRIGHTS": b" INBOX anyone",
    b"MYRIGHTS": b" INBOX",
    b"NOTIFY": b" SET STATUS (SELECTED (MessageNew (UID FLAGS) MessageExpunge)) (SUBTREE (a b) (MailboxName))",
    b"SETACL": b' INBOX $staff "+lrs"',
    b"GETMETADATA": b' (MAXSIZE 10 DEPTH 1) INBOX (/private/comment "/shared/comment")',
    b"GETQUOTA": b' ""',
    b"GETQUOTAROOT": b" INBOX",
    b"SEARCH": b" RETURN (MIN COUNT) CHARSET UTF-8 OR (FROM {3}\r\nann NOT SEEN) SINCE 1-Feb-2020 UID 1:*",
    b"CANCELUPDATE": b' "a1" "a2"',
    b"ESEARCH": b" IN (SELECTED SUBTREE (A B) MAILBOXES c) RETURN (ALL) CHARSET UTF-8 SUBJECT x",
    b"SORT": b" RETURN (PARTIAL 1:5 COUNT) (REVERSE DATE SUBJECT) UTF-8 FUZZY OR $ SAVEDON 1-Feb-2020 FROM ann",
    b"THREAD": b" REFERENCES UTF-8 UID $ (EMAILID x THREADID y) UIDAFTER 3 UIDBEFORE 4294967295",
    b"SETMETADATA": b' INBOX (/private/comment "x" /private/other NIL)',
    b"SETQUOTA": b' "" (STORAGE 512)',
    b"GENURLAUTH": b' "imap://joe@example.com/INBOX/;uid=20;urlauth=submit+fred" INTERNAL {1}\r\nx internal',
    b"RESETKEY": b" INBOX INTERNAL XSAMPLE",
    b"URLFETCH": b' imap://joe@example.com/INBOX/;uid=20;urlauth=anonymous:internal:ab "x"'
    b' ("y" BINARY BODYPARTSTRUCTURE) ({1}\r\nz body)',
    b"STORE": b" 1:2 (UNCHANGEDSINCE 7) +FLAGS.SILENT (\\Seen $Label)",
    b"LIST": b' (SUBSCRIBED RECURSIVEMATCH) "" ("*" "%") RETURN (CHILDREN STATUS (MESSAGES))',
    b"STATUS": b" INBOX (MESSAGES UIDNEXT SIZE)",
    b"COMPRESS": b" DEFLATE",
    b"COPY": b' 1:* "a b"',
    b"MOVE": b" 1 {3}\r\nabc",
    b"ID": b' ("name" "x" "version" NIL)',
    b"ENABLE": b" CONDSTORE QRESYNC",
    b"LSUB": b' "" *',
    b"RENAME": b' a "b c"',
    b"SELECT": b' "a" (CONDSTORE QRESYNC (1 2 3:4,5 (1,3:4 7,9:10)))',
    **dict.fromkeys((b"EXAMINE", b"CREATE", b"DELETE", b"SUBSCRIBE", b"UNSUBSCRIBE"), b" INBOX"),
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_arguments_of_each_command(name: bytes) -> None:
    command = COMMANDS[name]
    arguments = ARGUMENTS.get(name, b"")
    command.parse(Syntax(Cursor(arguments), tag=b"a"))
    for text in [*truncations(arguments), *with_trailing(arguments), b" ", b" \xff", b" (", b" {1}\r\n"]:
        try:
            command.parse(Syntax(Cursor(text), tag=b"a"))
        except BadSyntax:
            pass


@given(st.sampled_from(sorted(COMMANDS)), st.binary(max_size=60))
def test_random_arguments_are_refused_not_crashed_on(name: bytes, data: bytes) -> None:
    try:
        COMMANDS[name].parse(Syntax(Cursor(b" " + data)))
    except BadSyntax:
        pass


_TOKENS = st.lists(
    st.sampled_from(
        [
            b"(",
            b")",
            b" ",
            b"NOT",
            b"OR",
            b"1:*",
            b"UID",
            b"FROM",
            b'"x"',
            b"BODY[",
            b"]",
            b"<0.1>",
            b"FLAGS",
            b"SEEN",
            b"{1}\r\n",
        ]
    ),
    max_size=20,
)


@given(st.sampled_from([b"FETCH", b"SEARCH", b"STORE", b"LIST"]), _TOKENS)
def test_random_tokens_are_refused_not_crashed_on(name: bytes, tokens: list[bytes]) -> None:
    try:
        COMMANDS[name].parse(Syntax(Cursor(b" " + b"".join(tokens))))
    except BadSyntax:
        pass


def test_deep_search_programs_are_refused() -> None:
    for text in (b" " + b"(" * 5000 + b"ALL", b" " + b"NOT " * 5000 + b"ALL", b" " + b"OR ALL " * 5000 + b"ALL"):
        with pytest.raises(BadSyntax, match="too complex"):
            COMMANDS[b"SEARCH"].parse(Syntax(Cursor(text)))


def test_text_for_people_cannot_break_a_line() -> None:
    assert response.status(b"a", b"NO", "one\r\n* two") == b"a NO one??* two\r\n"
