"""Wrong input on every port: a standard answer, a line in the log, bounded memory, and the process lives on."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.wire import BOB, PASSWORD, Dialogue, only, send, trusting
from tests.lab.instance import Instance
from tests.lab.processes import tree

MEGABYTE = 1 << 20

SMTP = ("smtp", "submission", "submissions", "lmtp")
POP3 = ("pop3", "pop3s")
IMAP = ("imap", "imaps")
EVERY = (*SMTP, *POP3, *IMAP)

GREETING = {**dict.fromkeys(SMTP, rb"^220 "), **dict.fromkeys(POP3, rb"^\+OK"), **dict.fromkeys(IMAP, rb"^\* OK")}
HELLO_COMMAND = {**dict.fromkeys(SMTP, b"EHLO client.test"), "lmtp": b"LHLO client.test"}
# What a service answers to something that is no command.
REFUSAL = {
    **dict.fromkeys(SMTP, rb"^500 5\.5\.[12] "),
    **dict.fromkeys(POP3, rb"^-ERR "),
    **dict.fromkeys(IMAP, rb"^(\*|\S+) BAD "),
}
# A command that must work afterwards, and the answer to it.
PROOF = {
    **dict.fromkeys(SMTP, (b"NOOP", rb"^250 2\.0\.0")),
    **dict.fromkeys(POP3, (b"CAPA", rb"^\.$")),
    **dict.fromkeys(IMAP, (b"z NOOP", rb"^z OK")),
}
PROGRAM = {
    "smtp": "smtpd",
    "submission": "submission/smtpd",
    "submissions": "submissions/smtpd",
    "lmtp": "lmtp/smtpd",
    **dict.fromkeys(POP3, "pop3-login"),
    **dict.fromkeys(IMAP, "imap-login"),
}


@pytest.fixture(scope="module")
def mail() -> Iterator[Instance]:
    # One process per service, so that the one that was spoken to is known.
    settings = {
        "smtpd_timeout": "2s",
        "smtpd_starttls_timeout": "2s",
        "login_timeout": "2s",
        "smtpd_error_sleep_time": "0s",
        "auth_failure_delay": "0s",
        "smtpd_client_event_limit_exceptions": "",
        "smtp_tlsrpt_enable": "yes",  # without it the service for reports ends by itself
    }
    instance = Instance(users={BOB: PASSWORD}, settings=settings)
    try:
        instance.init()
        path = instance.config / "master.yaml"
        path.write_text(re.sub(r"(?m)^  (processes|warm): .*\n", "", path.read_text()))
        instance.start()
        yield instance
    finally:
        instance.show_log()
        instance.close()


@pytest.fixture(autouse=True)
def nobody_dies(mail: Instance) -> Iterator[None]:
    """After each test every process that was there is there, none has said that it gives up, and mail flows."""
    before = {each.pid for each in tree(mail.master_pid())}
    lines = len(mail.log_lines())
    yield
    assert before <= {each.pid for each in tree(mail.master_pid())}
    said = mail.log_lines()[lines:]
    assert not [line for line in said if re.search(r"fatal:|panic:|Traceback|killed by|exit status", line)]


def resident(mail: Instance) -> int:
    """Bytes of memory of the largest process of the instance."""
    sizes = []
    for each in tree(mail.master_pid()):
        with contextlib.suppress(OSError):
            match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{each.pid}/status").read_text())
            sizes.append(int(match[1]) * 1024 if match else 0)
    return max(sizes)


def greeted(mail: Instance, service: str) -> Dialogue:
    dialogue = Dialogue(mail, service)
    dialogue.until(GREETING[service])
    return dialogue


def works(dialogue: Dialogue, service: str) -> None:
    command, answer = PROOF[service]
    dialogue.ask(command, answer)


@pytest.mark.parametrize("service", EVERY)
def test_an_unknown_command_is_refused_and_the_session_goes_on(mail: Instance, service: str) -> None:
    with greeted(mail, service) as dialogue:
        dialogue.ask(b"a XYZZY plugh", REFUSAL[service])
        works(dialogue, service)


@pytest.mark.parametrize("service", (*SMTP, *POP3))
def test_an_empty_line_is_refused_and_the_session_goes_on(mail: Instance, service: str) -> None:
    with greeted(mail, service) as dialogue:
        dialogue.ask(b"", REFUSAL[service])
        works(dialogue, service)


@pytest.mark.parametrize("service", EVERY)
def test_bytes_that_are_no_text_are_refused(mail: Instance, service: str) -> None:
    with greeted(mail, service) as dialogue:
        if service in SMTP:  # a verb that begins with no letter: another protocol, or an attack
            dialogue.ask(b"\x00\xff\xfe\x01 \x80", rb"^221 2\.7\.0 Error: I can break rules, too\. Goodbye\.")
            return
        dialogue.ask(b"\x00\xff\xfe\x01 \x80", REFUSAL[service])
        works(dialogue, service)


@pytest.mark.parametrize("service", SMTP)
def test_a_nul_in_a_command_is_refused(mail: Instance, service: str) -> None:
    with greeted(mail, service) as dialogue:
        dialogue.ask(HELLO_COMMAND[service])
        assert dialogue.ask(b"MAIL FROM:<a\x00b@example.com>")[:1] == b"5"
        works(dialogue, service)


@pytest.mark.parametrize("service", EVERY)
def test_a_bare_line_feed_ends_a_command_or_is_refused(mail: Instance, service: str) -> None:
    with greeted(mail, service) as dialogue:
        command, answer = PROOF[service]
        dialogue.send(command + b"\n")
        line = dialogue.line()
        assert re.match(answer, line) or re.match(REFUSAL[service], line) or line.startswith((b"+OK", b"* BYE")), line


@pytest.mark.parametrize("service", EVERY)
def test_an_overlong_line_is_refused(mail: Instance, service: str) -> None:
    with greeted(mail, service) as dialogue:
        dialogue.send(b"a " + b"x" * 100_000 + b"\r\n")
        dialogue.until(rb"^(5\d\d |-ERR|(\*|a) (BAD|BYE))")


@pytest.mark.parametrize("service", EVERY)
def test_a_line_of_100_megabytes_costs_no_memory(mail: Instance, service: str) -> None:
    before = resident(mail)
    most = 0
    piece = b"x" * MEGABYTE
    # The server may close; the rest then has nowhere to go.
    with greeted(mail, service) as dialogue, contextlib.suppress(OSError):
        for _ in range(100):
            dialogue.send(piece)
            most = max(most, resident(mail))
    assert most < before + 16 * MEGABYTE, f"{before >> 20} MB before, {most >> 20} MB at the most"
    with greeted(mail, service) as dialogue:
        works(dialogue, service)


@pytest.mark.parametrize("service", SMTP)
def test_a_header_line_of_100_megabytes_costs_no_memory(mail: Instance, service: str) -> None:
    before = resident(mail)
    most = 0
    with greeted(mail, service) as dialogue:
        dialogue.ask(HELLO_COMMAND[service])
        if service.startswith("submission"):
            return log_in_first(mail)
        dialogue.ask(b"MAIL FROM:<carol@example.com>")
        dialogue.ask(b"RCPT TO:<%s>" % BOB.encode())
        dialogue.ask(b"DATA")
        dialogue.send(b"Subject: ")
        with contextlib.suppress(OSError):
            for _ in range(100):
                dialogue.send(b"x" * MEGABYTE)
                most = max(most, resident(mail))
            dialogue.send(b"\r\n.\r\n")
        assert dialogue.until(rb"^[45]\d\d ").startswith(b"552 5.3.4")
    assert most < before + 16 * MEGABYTE, f"{before >> 20} MB before, {most >> 20} MB at the most"
    mail.wait_for(lambda: not mail.queue_ids())
    return None


def log_in_first(mail: Instance) -> None:
    """Without a login there is no content on the submission ports."""
    with greeted(mail, "submissions") as dialogue:
        dialogue.ask(b"EHLO client.test")
        assert dialogue.ask(b"DATA").startswith((b"503", b"554", b"530"))


def test_clients_that_never_speak_are_dismissed_and_logged(mail: Instance) -> None:
    lines = len(mail.log_lines())
    with contextlib.ExitStack() as stack:
        silent = {service: stack.enter_context(greeted(mail, service)) for service in EVERY}
        said = {service: dialogue.rest() for service, dialogue in silent.items()}
    farewells = {
        **dict.fromkeys(SMTP, rb"421 4\.4\.2 mx\.example\.org Error: timeout exceeded\r\n$"),
        **dict.fromkeys(POP3, rb"-ERR Idle for too long"),
        **dict.fromkeys(IMAP, rb"\* BYE Disconnected for inactivity"),
    }
    for service, farewell in farewells.items():
        assert re.match(farewell, said[service]), (service, said[service])
        pattern = re.escape(PROGRAM[service]) + r"\[\d+\]: (timeout after CONNECT from|.*Disconnected: Inactivity)"
        mail.wait_for(lambda: [line for line in mail.log_lines()[lines:] if re.search(pattern, line)])  # noqa: B023


def test_clients_that_never_begin_tls_are_dismissed(mail: Instance) -> None:
    with contextlib.ExitStack() as stack:
        for connection in [stack.enter_context(mail.connect(each)) for each in ("submissions", "pop3s", "imaps")]:
            with contextlib.suppress(ConnectionError):
                assert connection.recv(100) == b"", "text where a TLS record was expected"


@pytest.mark.parametrize("service", ["submissions", "pop3s", "imaps"])
def test_clear_text_on_a_tls_port_is_dismissed_and_logged(mail: Instance, service: str) -> None:
    lines = len(mail.log_lines())
    with mail.connect(service) as connection:
        connection.settimeout(60)
        connection.sendall(b"EHLO client.test\r\n")
        with contextlib.suppress(ConnectionError):
            while connection.recv(4096):
                pass
    mail.wait_for(lambda: [line for line in mail.log_lines()[lines:] if re.search("(?i)SSL|TLS", line)])


@pytest.mark.parametrize("service", ("smtp", "submission", "lmtp"))
def test_garbage_before_the_greeting_does_no_harm(mail: Instance, service: str) -> None:
    with Dialogue(mail, service) as dialogue:
        dialogue.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03garbage\r\n" * 5)
        dialogue.rest()
    with greeted(mail, service) as dialogue:
        works(dialogue, service)


def test_an_http_request_is_sent_away(mail: Instance) -> None:
    lines = len(mail.log_lines())
    with greeted(mail, "smtp") as dialogue:
        dialogue.send(b"GET / HTTP/1.1\r\nHost: mx.example.org\r\n\r\n")
        assert re.match(rb"221 2\.7\.0 Error: I can break rules, too\. Goodbye\.", dialogue.rest())
    mail.wait_for(lambda: [each for each in mail.log_lines()[lines:] if "non-SMTP command" in each])


def test_starttls_with_garbage_instead_of_a_handshake_is_dismissed(mail: Instance) -> None:
    lines = len(mail.log_lines())
    with greeted(mail, "smtp") as dialogue:
        dialogue.ask(b"EHLO client.test")
        assert dialogue.ask(b"STARTTLS").startswith(b"220 2.0.0")
        dialogue.send(b"this is no handshake\r\n" * 10)
        dialogue.rest()
    mail.wait_for(lambda: [each for each in mail.log_lines()[lines:] if "SSL_accept error from" in each])


def test_commands_hidden_behind_starttls_are_thrown_away(mail: Instance) -> None:
    with greeted(mail, "smtp") as dialogue:
        dialogue.ask(b"EHLO client.test")
        dialogue.send(b"STARTTLS\r\nRSET\r\n")
        reply = dialogue.until(rb"^\d{3} ")
        # RFC 3207 section 5: nothing that came in clear text counts under TLS; refusing is one way.
        assert reply.startswith((b"220", b"554", b"503"))
        if reply.startswith(b"220"):
            dialogue.socket = trusting(mail).wrap_socket(dialogue.socket)
            dialogue.ask(b"EHLO client.test")
            assert dialogue.ask(b"NOOP").startswith(b"250 2.0.0 Ok")


def test_commands_before_their_time_are_refused(mail: Instance) -> None:
    with greeted(mail, "smtp") as dialogue:
        for command, reply in (
            (b"RCPT TO:<bob@example.org>", b"503 5.5.1 Error: need MAIL command"),
            (b"DATA", b"503 5.5.1 Error: need RCPT command"),
            (b"MAIL FROM:<>", b"250 2.1.0 Ok"),
            (b"MAIL FROM:<>", b"503 5.5.1 Error: nested MAIL command"),
            (b"DATA", b"554 5.5.1 Error: no valid recipients"),
        ):
            assert dialogue.ask(command) == reply


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"MAIL FROM:bob", rb"250|501 5\.[15]\.[47] "),
        (b"MAIL TO:<bob@example.org>", rb"501 5\.5\.4 Syntax: MAIL FROM:<address>"),
        (b"MAIL FROM:<bob@example.org> FOO=BAR", rb"555 5\.5\.4 Unsupported option: FOO=BAR"),
        (b"MAIL FROM:<bob@example.org> SIZE=x", rb"501 5\.5\.4 Bad message size syntax"),
        (b"MAIL FROM:<bob@exa mple.org>", rb"501 5\.1\.7 Bad sender address syntax"),
        (b"MAIL FROM:<" + b"a" * 600 + b"@example.org>", rb"501 5\.1\.7 "),
        (b"HELO", rb"501 (5\.5\.4 )?Syntax: HELO hostname"),
        (b"BDAT x", rb"521 5\.5\.4 Syntax: BDAT count \[LAST\]"),
        (b"BDAT -1 LAST", rb"521 5\.5\.4 Syntax: BDAT count \[LAST\]"),
        (b"AUTH", rb"50[0-9] 5\.5\."),
        (b"STARTTLS now", rb"501 5\.5\.4 Syntax: STARTTLS"),
        (b"QUIT now", rb"501 5\.5\.4 Syntax: QUIT|221 2\.0\.0 Bye"),
    ],
)
def test_wrong_arguments_are_answered_as_postfix_does(mail: Instance, command: bytes, reply: bytes) -> None:
    with greeted(mail, "smtp") as dialogue:
        if not command.startswith(b"HELO"):
            dialogue.ask(b"EHLO client.test")
        said = dialogue.ask(command)
        assert re.match(reply, said), said


def test_too_many_errors_end_the_session(mail: Instance) -> None:
    lines = len(mail.log_lines())
    with greeted(mail, "smtp") as dialogue:
        with contextlib.suppress(OSError):
            for _ in range(30):
                dialogue.send(b"XYZZY\r\n")
        assert dialogue.rest().endswith(b"421 4.7.0 mx.example.org Error: too many errors\r\n")
    mail.wait_for(lambda: [each for each in mail.log_lines()[lines:] if "too many errors after" in each])


def test_a_client_that_goes_in_mid_message_leaves_nothing(mail: Instance) -> None:
    with greeted(mail, "smtp") as dialogue:
        dialogue.ask(b"EHLO client.test")
        dialogue.ask(b"MAIL FROM:<carol@example.com>")
        dialogue.ask(b"RCPT TO:<%s>" % BOB.encode())
        dialogue.ask(b"DATA")
        dialogue.send(b"Subject: cut\r\n\r\n" + b"half a line\r\n" * 10_000)
    mail.wait_for(lambda: mail.log_matching(r"lost connection after DATA \(\d+ bytes\) from"))
    mail.wait_for(lambda: not mail.queue_ids())
    send(mail, BOB, b"Subject: whole\r\n\r\nwhole\r\n")
    assert b"whole" in only(lambda: [each for each in mail.mailbox(BOB) if b"whole" in each], mail)
    assert not [each for each in mail.mailbox(BOB) if b"half a line" in each]


@pytest.mark.parametrize("service", IMAP)
def test_a_literal_of_100_megabytes_before_the_login_is_refused(mail: Instance, service: str) -> None:
    with greeted(mail, service) as dialogue:
        dialogue.ask(b"a LOGIN {104857600}", rb"^(a BAD|a NO|\* BYE)")


def test_a_literal_of_100_megabytes_after_the_login_is_refused(mail: Instance) -> None:
    before = resident(mail)
    with greeted(mail, "imaps") as dialogue:
        dialogue.ask(b"a LOGIN %s {%d+}\r\n%s" % (BOB.encode(), len(PASSWORD), PASSWORD.encode()), rb"^a OK")
        dialogue.ask(b"b SEARCH SUBJECT {104857600}", rb"^(b BAD|b NO|\* BYE)")
    assert resident(mail) < before + 16 * MEGABYTE
