"""The pipe agent: its command's attributes, arguments, input and exit statuses."""

from __future__ import annotations

import email
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config import Config
from pillarbox.lib.delivery import Content, DeliveryRecipient, DeliveryRequest
from pillarbox.pipe.command import CommandSyntaxError, UnsafeAddress, parse_pipe_command
from pillarbox.pipe.content import pipe_content
from pillarbox.pipe.delivery import PipeDelivery

MESSAGE = b"Subject: x\n\n.dot\nFrom me\nend\n"


def run(
    tmp_path: Path,
    command: str,
    *addresses: str,
    sender: str = "s@example.org",
    message: bytes = MESSAGE,
    body: str = "",
    **options: str,
) -> list[tuple[str, str, str]]:
    file = tmp_path / "queue"
    file.write_bytes(message)
    fd = os.open(file, os.O_RDONLY)
    request = DeliveryRequest(
        tag=1,
        queue_id="4jXFYl6dnjzKD6m",
        sender=sender,
        recipients=tuple(DeliveryRecipient(n, address) for n, address in enumerate(addresses)),
        content=Content(fd, 0, len(message)),
        transport="filter",
        nexthop="Next.Example",
        arrival=1.0,
        active=1.0,
        taken=1.0,
        body=body,
        attributes={"client_address": "192.0.2.1"},
    )
    config = Config.for_tests(**options)
    delivery = PipeDelivery(config, "filter", parse_pipe_command(command), lambda: None)
    ((_, results, _),) = delivery.deliver([request])
    os.close(fd)
    return [(result.status, result.dsn, result.text) for result in results]


def test_arguments_carry_the_macros_and_repeat_per_recipient(tmp_path: Path) -> None:
    script = tmp_path / "show"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/args\n')
    script.chmod(0o755)
    words = "-f ${sender} ${nexthop} ${client_address} u=${user}+${extension} ${recipient}"
    command = f"flags=hu argv={script} {words}"
    results = run(tmp_path, command, "Ann+x@Example.COM", "bob@example.com", recipient_delimiter="+")
    assert results == [("sent", "2.0.0", "delivered via filter service")] * 2
    assert (tmp_path / "args").read_text().splitlines() == [
        "-f",
        "s@example.org",
        "next.example",
        "192.0.2.1",
        "u=ann+x",
        "u=bob+",
        "ann+x@example.com",
        "bob@example.com",
    ]


def test_an_address_is_one_argument_without_a_shell(tmp_path: Path) -> None:
    script = tmp_path / "show"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$#" "$1" > {tmp_path}/args\n')
    script.chmod(0o755)
    run(tmp_path, f"argv={script} ${{recipient}}", '"a b;$(touch x)"@example.com')
    assert (tmp_path / "args").read_text().splitlines() == ["1", "a b;$(touch x)@example.com"]


def test_with_the_flag_q_a_local_part_is_quoted(tmp_path: Path) -> None:
    command = parse_pipe_command("flags=q argv=x ${recipient}")
    assert "q" in command.flags
    script = tmp_path / "show"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" > {tmp_path}/args\n')
    script.chmod(0o755)
    run(tmp_path, f"flags=q argv={script} ${{recipient}}", '"a b"@example.com')
    assert (tmp_path / "args").read_text() == '"a b"@example.com\n'


def test_an_address_that_looks_like_an_option_is_refused(tmp_path: Path) -> None:
    ((status, dsn, _),) = run(tmp_path, f"argv=/usr/bin/touch {tmp_path}/ran ${{recipient}}", "-x@example.com")
    assert (status, dsn) == ("bounced", "5.1.3")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UnsafeAddress):
        parse_pipe_command("argv=x ${sender}").arguments({"sender": "-oQ/tmp"}, [])


def test_an_address_that_is_refused_is_nobody_elses_trouble(tmp_path: Path) -> None:
    command = f"argv=/usr/bin/touch ${{user}}-{tmp_path.name} {tmp_path}/ran ${{nexthop}}${{recipient}}"
    command = f"directory={tmp_path} {command}"
    results = run(tmp_path, command, "ann@example.com", "-x@example.com", "bob@example.com")
    assert [(status, dsn) for status, dsn, _ in results] == [("sent", "2.0.0"), ("bounced", "5.1.3"), ("sent", "2.0.0")]
    made = {path.name for path in tmp_path.iterdir()}
    assert {f"ann-{tmp_path.name}", f"bob-{tmp_path.name}", "ran"} <= made and not any("x@" in name for name in made)


def test_flags_prepend_the_header_lines(tmp_path: Path) -> None:
    run(tmp_path, f"flags=DFOR argv=/bin/sh -c 'cat >> {tmp_path}/got'", "ann@example.com")
    lines = (tmp_path / "got").read_text().splitlines()
    assert lines[0].startswith("From s@example.org  ")
    assert lines[1:4] == [
        "Return-Path: <s@example.org>",
        "X-Original-To: ann@example.com",
        "Delivered-To: ann@example.com",
    ]


def test_with_delivered_to_every_recipient_gets_a_run(tmp_path: Path) -> None:
    run(tmp_path, f"flags=D argv=/bin/sh -c 'grep Delivered-To >> {tmp_path}/got'", "a@example.com", "b@example.com")
    assert (tmp_path / "got").read_text() == "Delivered-To: a@example.com\nDelivered-To: b@example.com\n"


@pytest.mark.parametrize(
    ("flags", "status", "handed"), [("", 0, "relayed"), ("flags=X", 0, ""), ("", 75, ""), ("flags=X", 75, "")]
)
def test_the_flag_x_says_that_the_command_is_the_end_of_the_way(
    tmp_path: Path, flags: str, status: int, handed: str
) -> None:
    command = parse_pipe_command(f"{flags} argv=/bin/sh -c {{exit {status}}}")
    file = tmp_path / "queue"
    file.write_bytes(MESSAGE)
    fd = os.open(file, os.O_RDONLY)
    request = DeliveryRequest(
        1, "id", "s@example.org", (DeliveryRecipient(0, "a@example.com"),), Content(fd, 0, 5), "f", "n", 1.0, 1.0, 1.0
    )
    ((_, (result,), _),) = PipeDelivery(Config.for_tests(), "f", command, lambda: None).deliver([request])
    os.close(fd)
    assert result.handed == handed


@given(st.text(alphabet="ab {}'\"$\\\\= ", max_size=30))
def test_any_text_is_a_command_or_a_mistake(text: str) -> None:
    try:
        command = parse_pipe_command(f"flags=R argv={text}")
    except CommandSyntaxError:
        return
    assert command.argv


@given(st.lists(st.from_regex(r"[ab=]([ab= ]{0,6}[ab=])?", fullmatch=True), min_size=1, max_size=5))
def test_words_in_braces_are_what_stands_in_them(words: list[str]) -> None:
    text = " ".join(f"{{ {word} }}" for word in words)
    assert parse_pipe_command(f"argv={text}").argv == tuple(words)


@pytest.mark.parametrize("original", ["", "No address at all@@", "A.B@Example.com"])
def test_any_original_address_can_be_an_argument(original: str) -> None:
    delivery = PipeDelivery(Config.for_tests(), "f", parse_pipe_command("flags=hu argv=x"), lambda: None)
    macros = delivery._recipient_macros(DeliveryRecipient(0, "X@Example.com", original))
    expected = {"": "x@example.com", "A.B@Example.com": "a.b@example.com"}
    assert macros["original_recipient"] == expected.get(original, original)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_dots_from_lines_line_ends_and_the_blank_line(size: int) -> None:
    command = parse_pipe_command(r"flags=.>B eol=\r\n argv=x")
    pieces = [MESSAGE[at : at + size] for at in range(0, len(MESSAGE), size)]
    assert b"".join(pipe_content(pieces, command, b"")) == b"Subject: x\r\n\r\n..dot\r\n>From me\r\nend\r\n\r\n"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 0", ("sent", "2.0.0", "delivered via filter service")),
        ("exit 75", ("deferred", "4.3.0", "temporary failure")),
        ("echo who; exit 67", ("bounced", "5.1.1", "user unknown. Command output: who")),
        ("echo 4.2.2 mailbox full; exit 1", ("deferred", "4.2.2", "mailbox full")),
        ("echo 5.7.1 go away; exit 75", ("bounced", "5.7.1", "go away")),
        ("exit 3", ("bounced", "5.3.0", 'Command died with status 3: "/bin/sh"')),
        ("kill -9 $$$$", ("deferred", "4.3.0", 'Command died with signal 9: "/bin/sh"')),
    ],
)
def test_the_end_of_the_command_decides(tmp_path: Path, script: str, expected: tuple[str, str, str]) -> None:
    assert run(tmp_path, f"argv=/bin/sh -c '{script}'", "a@example.com") == [expected]


def test_a_missing_command_is_waited_for(tmp_path: Path) -> None:
    ((status, dsn, text),) = run(tmp_path, "argv=/nonexistent/x", "a@example.com")
    assert (status, dsn) == ("deferred", "4.3.0")
    assert "No such file" in text


def test_a_message_over_the_size_limit_bounces(tmp_path: Path) -> None:
    ((status, dsn, _),) = run(tmp_path, "size=5 argv=/bin/true", "a@example.com")
    assert (status, dsn) == ("bounced", "5.2.3")


def test_output_is_kept_up_to_its_limit(tmp_path: Path) -> None:
    ((_, _, text),) = run(tmp_path, "argv=/bin/sh -c 'yes | head -c 100000; exit 1'", "a@example.com")
    assert 1000 < len(text) < 5000


def test_the_time_limit_ends_the_command(tmp_path: Path) -> None:
    ((status, dsn, text),) = run(tmp_path, "argv=/bin/sleep 600", "a@example.com", pipe_time_limit="1s")
    assert (status, dsn, text) == ("bounced", "5.3.0", 'Command time limit exceeded: "/bin/sleep"')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "flags=D",
        "argv=",
        "flags=Z argv=x",
        "size=a argv=x",
        "what=1 argv=x",
        "argv=x ${unknown}",
        "argv='x",
        "argv=x {a",
    ],
)
def test_a_wrong_attribute_is_named(text: str) -> None:
    with pytest.raises(CommandSyntaxError):
        parse_pipe_command(text)


def test_a_binary_body_comes_as_lines(tmp_path: Path) -> None:
    script = tmp_path / "keep"
    script.write_text(f"#!/bin/sh\ncat > {tmp_path}/got\necho $1 > {tmp_path}/size\n")
    script.chmod(0o755)
    octets = bytes(range(256)) + b"\r\n"
    message = b"MIME-Version: 1.0\nContent-Type: x/y\nContent-Transfer-Encoding: binary\n\n" + octets
    results = run(tmp_path, f"argv={script} ${{size}}", "a@example.com", message=message, body="binarymime")
    assert results == [("sent", "2.0.0", "delivered via filter service")]
    got = (tmp_path / "got").read_bytes()
    assert email.message_from_bytes(got).get_payload(decode=True) == octets
    assert int((tmp_path / "size").read_text()) == len(got)


def test_a_binary_body_that_may_not_be_changed_comes_back(tmp_path: Path) -> None:
    message = b"Content-Type: multipart/signed; boundary=b\n\n--b\r\n\r\n\0\r\n--b--\r\n"
    ((status, dsn, _),) = run(tmp_path, "argv=/bin/true", "a@example.com", message=message, body="binarymime")
    assert (status, dsn) == ("bounced", "5.6.3")
