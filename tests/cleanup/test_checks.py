"""header_checks and its kin: every action, what is looked at and what is not, and how long that may take.

The lines of the log and the replies are those of a real Postfix (3.7) with the same tables and messages.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pillarbox.cleanup.characters import characters
from pillarbox.lib.queue import Envelope, QueueFile
from pillarbox.lib.tables import TableError
from tests.cleanup.desk import Desk, desk
from tests.feeding import splits

HEADER_RULES = r"""
/^Subject: reject-plain/ REJECT
/^Subject: reject-text/ reject No spam here
/^Subject: reject-dsn/ REJECT 5.6.6 With code
/^Subject: reject-4/ REJECT 4.2.0 Try again
/^Subject: reject-2/ REJECT 2.0.0 Strange
/^Subject: warn/ WARN
/^Subject: wtext/ WARN look at this
/^Subject: info/ INFO
/^Subject: hold/ HOLD
/^Subject: htext/ HOLD why not
/^Subject: discard/ DISCARD nothing
/^Subject: filter/ FILTER smtp:[127.0.0.1]:9
/^Subject: redirect/ REDIRECT guard@y.test
/^Subject: bcc/ BCC spy@y.test
/^Subject: replace (.*)/ REPLACE Subject: was $1
/^Subject: fold (.*)/ REPLACE Subject: was $1
/^Subject: prepend/ PREPEND X-Seen: yes
/^Subject: strip/ STRIP gone
/^Subject: ignore/ IGNORE
/^Subject: pass/ PASS here
/^Subject: dunno/ DUNNO
/^Subject: ok/ OK
/^Subject: bad/ NONSENSE x
/^Subject: breplace/ REPLACE nonsense
/^Subject: bprepend/ PREPEND
/^Subject: mfilter/ FILTER
/^Subject: bfilter/ FILTER nonsense
/^Subject: bredirect/ REDIRECT nonsense
/^Subject: bbcc/ BCC nonsense
/^Subject: two..lines/ WARN folded
/^Content-Type: text.evil/ REJECT mime
/^X-Inner: deep/ REJECT nested
/^X-After/ REJECT too late
if /^X-Block/
/inside/ REJECT inside a block
endif
"""
BODY_RULES = r"""
/^bad line (.*)/ REJECT body $1
/^warn line/ WARN
/^replace line/ REPLACE other line
/^prepend line/ PREPEND before
/^ignore line/ IGNORE
/xy/ WARN in one piece
/^needle$/ REJECT needle
"""
WAY = "from host.test[192.0.2.1]; from=<a@x.test> to=<b@y.test> proto=ESMTP helo=<me>"
PARTIES = "from host.test[192.0.2.1]; from=<a@x.test> to=<b@y.test>"
RECEIVED = b"Received: from x\n"


def room_with(tmp_path: Path, **settings: str) -> Any:
    (tmp_path / "header").write_text(HEADER_RULES)
    (tmp_path / "body").write_text(BODY_RULES)
    tables = {"header_checks": f"regexp:{tmp_path}/header", "body_checks": f"regexp:{tmp_path}/body"}
    return desk(tmp_path, **{**tables, **settings})


class Result:
    """What became of one message."""

    def __init__(self, room: Desk, content: bytes, pieces: list[bytes] | None = None, **more: Any) -> None:
        way = {"client_name": "host.test", "client_address": "192.0.2.1", "protocol": "ESMTP", "client_helo": "me"}
        client = room.client()
        before = len(room.lines)
        self.queue_id = client.send(content, **{**way, **more})
        answer = client.answer()
        self.reply = "" if answer.boolean("ok") else " ".join(str(answer[key]) for key in ("code", "enhanced", "text"))
        prefix = f"{self.queue_id}: "
        self.lines = [line.removeprefix(prefix) for line in room.lines[before:] if "message-id=" not in line]
        self.held = (room.spool / "hold" / self.queue_id).exists()
        path = room.spool / ("hold" if self.held else "incoming") / self.queue_id
        self.stored = path.exists()
        self.content, self.recipients = b"", []
        if self.stored:
            file = QueueFile(os.open(path, os.O_RDONLY))
            self.envelope: Envelope = file.envelope
            self.content = os.pread(file.descriptor, file.length, file.offset)
            self.recipients = [one.recipient.address for one in file.recipients()]
            file.close()


def subject(room: Desk, text: str, **more: Any) -> Result:
    return Result(room, RECEIVED + b"Subject: " + text.encode() + b"\n\ntext\n", **more)


class TestHeaderActions:
    @pytest.mark.parametrize(
        ("text", "reply", "line"),
        [
            ("reject-plain", "550 5.7.1 message content rejected", "5.7.1 message content rejected"),
            ("reject-text", "550 5.7.1 No spam here", "5.7.1 No spam here"),
            ("reject-dsn", "550 5.6.6 With code", "5.6.6 With code"),
            ("reject-4", "451 4.2.0 Try again", "4.2.0 Try again"),
            ("reject-2", "451 4.0.0 Strange", "4.0.0 Strange"),
        ],
    )
    def test_reject(self, tmp_path: Path, text: str, reply: str, line: str) -> None:
        with room_with(tmp_path) as room:
            result = subject(room, f"{text} tail")
            assert result.reply == reply
            assert result.lines[-1] == f"reject: header Subject: {text} tail {WAY}: {line}"
            assert not result.stored

    @pytest.mark.parametrize(
        ("text", "lines"),
        [
            ("warn tail", [f"warning: header Subject: warn tail {WAY}"]),
            ("wtext tail", [f"warning: header Subject: wtext tail {WAY}: look at this"]),
            ("info tail", [f"info: header Subject: info tail {WAY}"]),
            ("dunno", []),
            ("ok", []),
            ("nothing", []),
            ("bad", ["warning: unknown command in header_checks map: NONSENSE x"]),
            (
                "breplace",
                ['warning: bad REPLACE header text "nonsense" in header_checks map -- need "headername: headervalue"'],
            ),
            ("bprepend", ["warning: PREPEND action without text in header_checks map"]),
            ("mfilter", ["warning: missing FILTER command argument in header_checks map"]),
            ("bfilter", ["warning: bad FILTER command nonsense in header_checks -- need transport:destination"]),
            ("bredirect", ['warning: bad REDIRECT target "nonsense" in header_checks map -- need user@domain']),
            ("bbcc", ['warning: bad BCC address "nonsense" in header_checks map -- need user@domain']),
        ],
    )
    def test_what_leaves_the_message_as_it_is(self, tmp_path: Path, text: str, lines: list[str]) -> None:
        with room_with(tmp_path) as room:
            result = subject(room, text)
            assert result.content == RECEIVED + b"Subject: " + text.encode() + b"\n\ntext\n"
            assert (result.reply, result.lines, result.recipients) == ("", lines, ["b@y.test"])
            assert result.envelope.filter == "" and not result.held

    @pytest.mark.parametrize(
        ("text", "header", "lines"),
        [
            ("replace it", b"Subject: was it\n", [f"replace: header Subject: replace it {WAY}: Subject: was it"]),
            (
                "fold a\n b",
                b"Subject: was a\n b\n",
                [f"replace: header Subject: fold a? b {WAY}: Subject: was a? b"],
            ),
            (
                "prepend it",
                b"X-Seen: yes\nSubject: prepend it\n",
                [f"prepend: header Subject: prepend it {WAY}: X-Seen: yes"],
            ),
            ("strip it", b"", [f"strip: header Subject: strip it {WAY}: gone"]),
            ("ignore it", b"", []),
        ],
    )
    def test_what_changes_the_field(self, tmp_path: Path, text: str, header: bytes, lines: list[str]) -> None:
        with room_with(tmp_path) as room:
            result = subject(room, text)
            assert (result.reply, result.lines) == ("", lines)
            assert result.content == RECEIVED + header + b"\ntext\n"

    def test_a_replacement_with_lines_that_are_no_continuation(self, tmp_path: Path) -> None:
        """A part of the key may begin a line that would be a field of its own."""
        rule = r"pcre:{{/^Subject: x\n (.*)/ REPLACE Subject: y $1}, {/^X: (a)(\n )(.*)/ REPLACE X: $1$3}}"
        with desk(tmp_path, header_checks=rule.replace("$", "$$")) as room:
            assert b"Subject: y Evil: field\n" in Result(room, b"Subject: x\n Evil: field\n\n").content
            assert b"X: aEvil: y\n" in Result(room, b"X: a\n Evil: y\n\n").content

    def test_hold(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            result = subject(room, "hold tail")
            assert (result.reply, result.held, result.envelope.hold) == ("", True, "header_checks")
            assert result.lines == [f"hold: header Subject: hold tail {WAY}"]
            result = subject(room, "htext tail")
            assert (result.held, result.envelope.hold) == (True, "why not")
            assert result.lines == [f"hold: header Subject: htext tail {WAY}: why not"]

    def test_discard(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            result = subject(room, "discard tail")
            assert (result.reply, result.stored) == ("", False)
            assert result.lines == [f"discard: header Subject: discard tail {WAY}: nothing"]

    def test_filter(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            result = subject(room, "filter tail", filter="other:there")
            assert result.envelope.filter == "smtp:[127.0.0.1]:9"
            assert result.lines == [f"filter: header Subject: filter tail {WAY}: smtp:[127.0.0.1]:9"]

    def test_redirect_overrides_filter_and_recipients(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            result = subject(room, "redirect tail", filter="other:there", recipients=("b@y.test", "c@y.test"))
            assert (result.envelope.filter, result.recipients) == ("", ["guard@y.test"])
            assert result.lines == [f"redirect: header Subject: redirect tail {WAY}: guard@y.test"]

    def test_bcc(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            result = subject(room, "bcc tail")
            assert result.recipients == ["b@y.test", "spy@y.test"]
            assert result.lines == [f"bcc: header Subject: bcc tail {WAY}: spy@y.test"]

    @pytest.mark.parametrize("first", ["pass", "discard", "redirect", "reject-text"])
    def test_some_end_the_inspection(self, tmp_path: Path, first: str) -> None:
        with room_with(tmp_path) as room:
            content = f"Subject: {first}\nX-After: y\nContent-Type: text/evil\n\nbad line one\n".encode()
            result = Result(room, RECEIVED + content)
            assert len(result.lines) == 1
            assert result.reply in ("", "550 5.7.1 No spam here")

    @pytest.mark.parametrize("first", ["warn", "hold", "filter", "bcc", "prepend", "replace x"])
    def test_others_do_not(self, tmp_path: Path, first: str) -> None:
        with room_with(tmp_path) as room:
            result = Result(room, RECEIVED + f"Subject: {first}\nX-After: y\n\nx\n".encode())
            assert result.reply == "550 5.7.1 too late" and len(result.lines) == 2


class TestWhatIsLookedAt:
    def test_a_field_as_a_whole_with_its_line_breaks(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            result = subject(room, "two\n lines")
            assert result.lines == [f"warning: header Subject: two? lines {WAY}: folded"]

    def test_blanks_before_the_colon_are_not_seen(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            assert Result(room, b"Subject \t: reject-text\n\n").reply == "550 5.7.1 No spam here"

    def test_a_block_of_rules(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            assert Result(room, b"X-Block: inside\n\n").reply == "550 5.7.1 inside a block"
            assert Result(room, b"X-Other: inside\n\n").reply == ""

    def test_bcc_fields_are_seen_before_they_are_dropped(self, tmp_path: Path) -> None:
        with desk(tmp_path, header_checks="regexp:{{/^Bcc:/ WARN}}") as room:
            result = Result(room, b"Bcc: c@y.test\n\n")
            assert result.lines[0].startswith("warning: header Bcc: c@y.test from") and b"Bcc" not in result.content

    def test_a_mime_field_belongs_to_mime_header_checks(self, tmp_path: Path) -> None:
        with desk(tmp_path, header_checks="regexp:{{/^/ WARN}}", mime_header_checks="") as room:
            result = Result(room, b"Subject: x\nContent-Type: text/plain\nMIME-Version: 1.0\n\nx\n")
            assert [line.split()[2] for line in result.lines] == ["Subject:"]

    def test_fields_of_parts_and_of_attached_messages(self, tmp_path: Path) -> None:
        part = b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/evil\n\nx\n--b--\n"
        attached = b"Content-Type: message/rfc822\n\nX-Inner: deep\n\nx\n"
        with room_with(tmp_path) as room:
            assert Result(room, part).lines == [f"reject: header Content-Type: text/evil {WAY}: 5.7.1 mime"]
            assert Result(room, attached).lines == [f"reject: header X-Inner: deep {WAY}: 5.7.1 nested"]
        with desk(
            tmp_path / "2",
            header_checks="",
            mime_header_checks="regexp:{{/^/ INFO m}}",
            nested_header_checks="regexp:{{/^/ INFO n}}",
        ) as room:
            content = (
                b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n"
                b"--b\nContent-Type: message/rfc822\nX-Part: y\n\n"
                b"From: z\nContent-Type: text/plain\n\nx\n--b--\n"
            )
            result = Result(room, content)
            assert [(line.split()[2], line[-1]) for line in result.lines] == [
                ("Content-Type:", "m"),
                ("Content-Type:", "m"),
                ("X-Part:", "m"),
                ("From:", "n"),
                ("Content-Type:", "m"),
            ]
            assert result.content == content

    def test_without_mime_processing_parts_are_body(self, tmp_path: Path) -> None:
        content = b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/evil\n\nx\n--b--\n"
        with room_with(tmp_path, disable_mime_input_processing="yes") as room:
            assert Result(room, content).reply == ""

    @pytest.mark.parametrize(
        ("origin", "classes", "looked_at"),
        [
            ("smtpd", "", True),
            ("pickup", "", True),
            ("gateway", "", True),
            ("local", "", False),
            ("bounce", "", False),
            ("bounce", "notify", False),
            ("bounce", "bounce", True),
        ],
    )
    def test_whose_mail(self, tmp_path: Path, origin: str, classes: str, looked_at: bool) -> None:
        with room_with(tmp_path, internal_mail_filter_classes=classes) as room:
            result = subject(room, "reject-text", origin=origin, sender="" if origin == "bounce" else "a@x.test")
            assert bool(result.reply) == looked_at

    def test_override(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            assert subject(room, "reject-text", overrides="no_milters no_header_body_checks").reply == ""
            assert subject(room, "reject-text", overrides="no_milters").reply != ""

    def test_mail_of_this_machine_in_the_log(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            client = room.client()
            queue_id = client.send(b"Subject: warn\n\n", origin="pickup")
            assert client.answer().boolean("ok")
            assert (
                room.lines[0] == f"{queue_id}: warning: header Subject: warn from local; from=<a@x.test> to=<b@y.test>"
            )

    def test_a_long_field_is_cut_and_seen_so(self, tmp_path: Path) -> None:
        with desk(tmp_path, header_size_limit="100", header_checks="regexp:{{/needle/ REJECT}}") as room:
            result = Result(room, b"X: " + b"y" * 200 + b"needle\nY: z\n\nx\n")
            assert result.reply == "" and result.content == b"X: " + b"y" * 97 + b"\nY: z\n\nx\n"
            folded = Result(room, b"X: a\n" + b" continued\n" * 30 + b"Y: z\n\nx\n").content
            assert folded.endswith(b"\nY: z\n\nx\n") and len(folded) < 120


class TestBodyActions:
    def test_lines_are_changed(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            text = b"warn line\nreplace line\nprepend line\nignore line\nend"
            for ending in (b"\n", b""):
                result = Result(room, RECEIVED + b"\n" + text + ending)
                assert result.content == RECEIVED + b"\nwarn line\nother line\nbefore\nprepend line\nend" + ending
                assert result.lines == [
                    f"warning: body warn line {WAY}",
                    f"replace: body replace line {WAY}: other line",
                    f"prepend: body prepend line {WAY}: before",
                ]

    def test_reject(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            result = Result(room, b"Subject: x\n\nfine\nbad line one\nbad line two\n")
            assert result.reply == "550 5.7.1 body one"
            assert result.lines == [f"reject: body bad line one {WAY}: 5.7.1 body one"]

    def test_what_is_decided_after_much_was_written(self, tmp_path: Path) -> None:
        """The envelope has long been in the file."""
        rules = (
            "{/^hold/ HOLD late}, {/^filter/ FILTER scan:there}, {/^bcc/ BCC spy@y.test}, {/^move/ REDIRECT g@y.test}"
        )
        rule = f"regexp:{{{rules}}}"
        with desk(tmp_path, body_checks=rule, body_checks_size_limit="0") as room:
            filler = b"x" * 70 + b"\n"
            content = b"Subject: x\n\n" + filler * 5000 + b"hold\nfilter\nbcc\n" + filler * 100
            result = Result(room, content)
            assert result.held and result.content == content
            assert (result.envelope.hold, result.envelope.filter) == ("late", "scan:there")
            assert result.recipients == ["b@y.test", "spy@y.test"]
            result = Result(room, content + b"move\n", recipients=tuple(f"user{n}@y.test" for n in range(300)))
            assert result.recipients == ["g@y.test"] and result.content == content + b"move\n"

    def test_only_the_first_bytes_of_each_part(self, tmp_path: Path) -> None:
        filler = b"x" * 49 + b"\n"
        part = b"--b\n\n%sneedle\n"
        head = b"Content-Type: multipart/mixed; boundary=b\n\n"
        with room_with(tmp_path, body_checks_size_limit="1000") as room:
            assert Result(room, head + part % (filler * 30) + b"--b--\n").reply == ""
            assert Result(room, head + part % (filler * 30) + part % (filler * 10) + b"--b--\n").reply != ""
            # The last line that begins within the limit is seen: the empty line and 999 bytes before it.
            assert Result(room, b"\n" + b"y" * 997 + b"\nneedle\n").reply != ""
            assert Result(room, b"\n" + b"y" * 998 + b"\nneedle\n").reply == ""
        with room_with(tmp_path, body_checks_size_limit="0") as room:
            assert Result(room, head + part % (filler * 3000) + b"--b--\n").reply != ""

    def test_long_lines_in_pieces(self, tmp_path: Path) -> None:
        with room_with(tmp_path, line_length_limit="100", body_checks_size_limit="0") as room:
            for line, seen in (
                (b"a" * 98 + b"xy", 1),
                (b"a" * 99 + b"xy", 0),
                (b"a" * 198 + b"xy", 1),
                (b"xy" * 200, 4),
            ):
                for ending in (b"\n", b""):
                    content = RECEIVED + b"\n" + line + ending
                    result = Result(room, content)
                    assert (result.content, len(result.lines)) == (content, seen)

    def test_a_binary_body_has_other_line_ends(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            text = b"Subject: x\n\nwarn line\r\nreplace line\r\nwith a CR\rwarn line\r\n"
            result = Result(room, text, body="binarymime")
            assert result.content == text.replace(b"replace line", b"other line")
            assert result.lines[0] == f"warning: body warn line {WAY}" and len(result.lines) == 2

    def test_a_piece_is_replaced_within_its_line(self, tmp_path: Path) -> None:
        with desk(
            tmp_path, line_length_limit="10", body_checks="regexp:{{/^b+$/ REPLACE -}}".replace("$", "$$")
        ) as room:
            assert Result(room, b"\n" + b"a" * 10 + b"b" * 10 + b"c\n").content == b"\n" + b"a" * 10 + b"-c\n"

    def test_a_table_without_texts_sees_every_line(self, tmp_path: Path) -> None:
        with desk(tmp_path, body_checks="inline:{{needle = REJECT}, {x* = WARN}}") as room:
            assert Result(room, b"\nfirst\nneedle\n").reply != ""
        with desk(tmp_path / "2", body_checks="pcre:{{/^.?$/ WARN}}".replace("$", "$$")) as room:
            assert len(Result(room, b"\na\nbb\n\nc\n").lines) == 2, "an empty line is none that anybody asks about"

    def test_the_pieces_of_the_content_do_not_matter(self, tmp_path: Path) -> None:
        from pillarbox.lib.clients.cleanup import envelope_frames
        from pillarbox.lib.ipc import encode_chunk
        from pillarbox.lib.ipc.frames import END_OF_CONTENT
        from pillarbox.lib.queue import Recipient

        content = (
            b"Subject: replace x\nContent-Type: multipart/mixed; boundary=b\n\nprepend line\n"
            b"--b\nContent-Type: text/plain\n\n"
            b"replace line\nxy\n--b--\nignore line\n"
        )
        with room_with(tmp_path) as room:
            expected = Result(room, content)
            for pieces in list(splits(content))[:40]:
                client = room.client()
                queue_id = client.new_id()
                envelope = Envelope("a@x.test", (Recipient("b@y.test"),), 1.5, origin="smtpd")
                chunks = b"".join(encode_chunk(piece) for piece in pieces)
                client.channel.send_raw(envelope_frames(queue_id, envelope) + chunks + END_OF_CONTENT)
                assert client.answer().boolean("ok")
                assert room.content(queue_id) == expected.content


class TestStrictness:
    @pytest.mark.parametrize(
        ("parameter", "content", "error", "shown"),
        [
            (
                "strict_7bit_headers",
                b"Subject: \xe9\n\nx\n",
                "improper use of 8-bit data in message header",
                "Subject: ?",
            ),
            ("strict_8bitmime", b"Subject: \xe9\n\nx\n", "improper use of 8-bit data in message header", "Subject: ?"),
            ("strict_8bitmime", b"Subject: x\n\na\n\xe9\n", "improper use of 8-bit data in message body", "?"),
            ("strict_8bitmime_body", b"Subject: x\n\na\n\xe9\n", "improper use of 8-bit data in message body", "?"),
            (
                "strict_mime_encoding_domain",
                b"Content-Type: multipart/mixed; boundary=q\nContent-Transfer-Encoding: base64\n\nx\n",
                "invalid message/* or multipart/* encoding domain",
                "base64",
            ),
        ],
    )
    def test_refusals(self, tmp_path: Path, parameter: str, content: bytes, error: str, shown: str) -> None:
        with desk(tmp_path, **{parameter: "yes"}) as room:
            result = Result(room, content)
            assert result.reply == f"550 5.6.0 {error}"
            assert result.lines == [f"reject: mime-error {error}: {shown} {PARTIES}"]
        with desk(tmp_path / "2") as room:
            assert Result(room, content).reply == "", "nothing of this is refused unless asked for"
        with desk(tmp_path / "3", disable_mime_input_processing="yes", **{parameter: "yes"}) as room:
            assert Result(room, content).reply == ""

    def test_announced_8bit_is_fine(self, tmp_path: Path) -> None:
        with desk(tmp_path, strict_8bitmime_body="yes") as room:
            assert Result(room, b"Content-Transfer-Encoding: 8bit\n\n\xe9\n").reply == ""

    def test_nesting(self, tmp_path: Path) -> None:
        def nested(depth: int) -> bytes:
            text = b"Content-Type: multipart/mixed; boundary=b0\n\n"
            for n in range(depth - 1):
                text += b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (n, n + 1)
            return text + b"x\n"

        with room_with(tmp_path) as room:
            assert Result(room, nested(100)).reply == ""
            result = Result(room, nested(101))
            assert result.reply == "550 5.6.0 MIME nesting exceeds safety limit"
            assert result.lines[0].startswith(
                "reject: mime-error MIME nesting exceeds safety limit: Content-Type: multi"
            )
        with desk(tmp_path / "2") as room:
            assert Result(room, nested(300)).reply == ""


class TestCharacters:
    def test_escapes(self) -> None:
        assert characters(r"\0") == b"\0"
        assert characters(r"\x7f\101a\\\r") == b"\x7fAa\\\r"

    def test_reject(self, tmp_path: Path) -> None:
        with desk(tmp_path, message_reject_characters=r"\0") as room:
            result = Result(room, b"Subject: x\n\nfirst\nnul \0 byte\nlast\n")
            assert result.reply == "550 5.7.1 disallowed character"
            assert result.lines == [f"reject: content nul ? byte {WAY}: 5.7.1 disallowed character"]
            assert Result(room, b"Subject: x\n\nnul \0 byte\n", origin="local").reply == ""

    def test_strip(self, tmp_path: Path) -> None:
        with desk(tmp_path, message_strip_characters=r"\0\x01") as room:
            assert Result(room, b"Sub\0ject: x\n\nnul \0\x01 byte\n").content == b"Subject: x\n\nnul  byte\n"

    def test_nul_bytes_pass_where_nothing_is_said_about_them(self, tmp_path: Path) -> None:
        with room_with(tmp_path) as room:
            content = b"Subject: a\0b\n\nnul \0 byte\n"
            assert Result(room, content).content == content

    def test_a_stray_cr_becomes_a_space(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            content = b"Subject: a\rb\n\nx\r\n.\r\ny\r\r\n"
            assert Result(room, content).content == b"Subject: a b\n\nx \n. \ny  \n"
            binary = Result(room, b"Subject: a\n\nx\r\n.\r\ny\r\r\n", body="binarymime")
            assert binary.content == b"Subject: a\n\nx\r\n.\r\ny\r\r\n"
        with desk(tmp_path / "2", cleanup_replace_stray_cr_lf="no") as room:
            assert Result(room, content).content == content


class TestLimits:
    def test_number_of_fields(self, tmp_path: Path) -> None:
        with desk(tmp_path, header_count_limit="10") as room:
            assert Result(room, b"A: b\n c\n" * 10 + b"\n").reply == ""
            assert Result(room, b"A: b\n c\n" * 11 + b"\n").reply == "554 5.6.0 Error: too many header fields"

    @pytest.mark.parametrize("ending", [b"\n\nbody\n", b"", b"\nbody\n"])
    def test_size_of_the_header(self, tmp_path: Path, ending: bytes) -> None:
        with desk(tmp_path, header_block_size_limit="1000") as room:
            assert Result(room, b"A: " + b"b" * 996 + ending).reply == ""
            assert Result(room, b"A: " + b"b" * 997 + ending).reply == "552 5.3.4 Error: message header too large"
            assert Result(room, b"A: b\n" * 201 + ending).reply == "552 5.3.4 Error: message header too large"

    def test_text_without_a_header_has_no_header_that_is_too_large(self, tmp_path: Path) -> None:
        with desk(tmp_path, header_block_size_limit="1000") as room:
            for text in (b"no header here\n" * 500, b"x" * 5000, b" " * 5000, b"A: b\n" + b"no field\n" * 500):
                assert Result(room, text).reply == ""


class TestTrouble:
    def test_a_fault_of_ours_is_451_and_does_not_end_the_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with room_with(tmp_path) as room:
            check = room.intake._treatment.checks
            assert check is not None and check.header is not None

            def fail(key: str) -> str | None:
                raise RecursionError("too deep")

            with monkeypatch.context() as within:
                within.setattr(check.header, "find", fail)
                result = subject(room, "warn")
                assert result.reply == "451 4.3.0 Error: queue file write error"
                assert "panic: " in result.lines[-1] and "header_checks: RecursionError: too deep" in result.lines[-1]
            assert subject(room, "warn").reply == ""

    def test_a_table_that_fails_is_451(self, tmp_path: Path) -> None:
        with desk(tmp_path, header_checks="regexp:/nonexistent/table") as room:
            result = Result(room, b"Subject: x\n\n")
            assert result.reply == "451 4.3.0 Error: queue file write error"
            assert "header_checks map lookup problem -- message not accepted, try again later" in result.lines[-1]

    def test_a_rule_that_makes_no_sense_is_451_for_what_reaches_it(self, tmp_path: Path) -> None:
        with desk(tmp_path, header_checks="regexp:{{/^Subject: good/ OK}, {/(/ REJECT}}") as room:
            assert Result(room, b"Subject: good\n\n").reply == ""
            assert Result(room, b"Subject: other\n\n").reply.startswith("451")

    def test_a_table_of_an_unknown_type_is_found_at_start(self, tmp_path: Path) -> None:
        with pytest.raises(TableError), desk(tmp_path, header_checks="nonsense:x"):
            pass

    @pytest.mark.parametrize("where", ["header", "body"])
    def test_an_expression_that_takes_for_ever_is_broken_off(self, tmp_path: Path, where: str) -> None:
        rule = f"pcre:{{{{/({'a+'})+$/ REJECT}}}}".replace("$", "$$")
        evil = b"a" * 60 + b"b"
        content = b"X: " + evil + b"\n\nx\n" if where == "header" else b"X: y\n\n" + evil + b"\n"
        with desk(tmp_path, **{f"{where}_checks": rule}, content_check_time_limit="0.2s") as room:
            result = Result(room, content)
            assert result.reply == "451 4.3.0 Error: content checks take too long"
            assert f"{where}_checks takes more than content_check_time_limit" in result.lines[-1]
            assert Result(room, b"X: y\n\ngood\n").reply == "", "the next message is not concerned"

    def test_the_time_is_that_of_the_whole_message(self, tmp_path: Path) -> None:
        rule = "pcre:{{/(a+)+$/ REJECT}}".replace("$", "$$")
        line = b"a" * 22 + b"b\n"
        with desk(tmp_path, body_checks=rule, content_check_time_limit="0.5s", body_checks_size_limit="0") as room:
            assert Result(room, b"\n" + line).reply == ""
            assert Result(room, b"\n" + line * 200).reply.startswith("451")

    def test_a_table_that_changes_is_read_again(self, tmp_path: Path) -> None:
        path = tmp_path / "rules"
        path.write_text("/one/ REJECT\n")
        with desk(tmp_path, body_checks=f"regexp:{path}") as room:
            assert Result(room, b"\none\n").reply != ""
            check = room.intake._treatment.checks
            assert check is not None and check.body is not None
            path.write_text("/second/ REJECT\n")
            check.body.maps.tables[0]._check_at = 0.0  # type: ignore[attr-defined]
            assert Result(room, b"\none\n").reply == ""
            assert Result(room, b"\nsecond\n").reply != ""
