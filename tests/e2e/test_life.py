"""Starting, reloading and stopping: nothing is lost or refused, and what is wrong is said clearly."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.wire import ALICE, BOB, HELLO, PASSWORD, Dialogue, only, send
from tests.lab.instance import Instance
from tests.lab.processes import alive, title, tree

USERS = {ALICE: PASSWORD, BOB: PASSWORD}


@pytest.fixture(scope="module")
def shared() -> Iterator[Instance]:
    with Instance(users=USERS) as instance:
        yield instance


@pytest.fixture
def mail(shared: Instance) -> Iterator[Instance]:
    """A running instance; tests may stop it, or break its configuration."""
    with configuration_put_back(shared):
        yield shared
    if not (pid := (shared.root / "run" / "master.pid").read_text()) or not alive(int(pid)):
        shared.start()


@pytest.fixture(scope="module")
def unstarted() -> Iterator[Instance]:
    instance = Instance(users=USERS)
    try:
        instance.init()
        yield instance
    finally:
        instance.close()


@pytest.fixture
def halted(unstarted: Instance) -> Iterator[Instance]:
    """An instance that does not run; tests may break its configuration."""
    with configuration_put_back(unstarted):
        yield unstarted


@contextlib.contextmanager
def configuration_put_back(instance: Instance) -> Iterator[None]:
    """Whatever becomes of it meanwhile."""
    files = {name: (instance.config / name).read_text() for name in ("main.yaml", "master.yaml")}
    try:
        yield
    finally:
        for name, text in files.items():
            (instance.config / name).write_text(text)


def marked(word: str) -> bytes:
    return HELLO.replace(b"hello", word.encode())


def arrived(mail: Instance, word: str) -> bytes:
    return only(lambda: [each for each in mail.mailbox(BOB) if word.encode() in each], mail)


def in_data(mail: Instance, word: str) -> Dialogue:
    """A session in the middle of a message."""
    smtp = Dialogue(mail, "smtp")
    smtp.until(rb"^220 ")
    smtp.ask(b"EHLO client.test")
    smtp.ask(b"MAIL FROM:<carol@example.com>")
    smtp.ask(b"RCPT TO:<%s>" % BOB.encode())
    smtp.ask(b"DATA")
    smtp.send(b"Subject: %s\r\n\r\nfirst half of %s\r\n" % (word.encode(), word.encode()))
    return smtp


def reloaded(mail: Instance, times: int = 1) -> None:
    """Reload, and wait until it has happened."""
    before = len(mail.log_matching(r"master\[\d+\]: reload -- "))
    mail.reload()
    mail.wait_for(lambda: len(mail.log_matching(r"master\[\d+\]: reload -- ")) >= before + times)


def bring(mail: Instance, word: str) -> None:
    """Bring a message. At no point may there be another answer than the usual."""
    with Dialogue(mail, "smtp") as smtp:
        for command, expected in (
            (b"", b"220"),
            (b"EHLO client.test", b"250"),
            (b"MAIL FROM:<carol@example.com>", b"250"),
            (b"RCPT TO:<%s>" % BOB.encode(), b"250"),
            (b"DATA", b"354"),
            (b"Subject: x\r\n\r\n%s\r\n." % word.encode(), b"250"),
        ):
            if command:
                smtp.send(command + b"\r\n")
            reply = smtp.until(rb"^\d{3} ")
            assert reply.startswith(expected), (command, reply)


# Reload


def test_a_message_in_transfer_survives_a_reload(mail: Instance) -> None:
    with in_data(mail, "over-reload") as smtp:
        reloaded(mail)
        assert smtp.ask(b"second half\r\n.").startswith(b"250 2.0.0 Ok: queued as ")
    assert b"first half of over-reload\nsecond half\n" in arrived(mail, "over-reload")


def test_an_idle_session_goes_on_over_a_reload(mail: Instance) -> None:
    with Dialogue(mail, "smtp") as smtp, Dialogue(mail, "imap") as imap, Dialogue(mail, "pop3") as pop3:
        smtp.until(rb"^220 ")
        imap.until(rb"^\* OK")
        pop3.until(rb"^\+OK")
        imap.ask(b'a LOGIN "%s" "%s"' % (ALICE.encode(), PASSWORD.encode()), rb"^a OK")
        reloaded(mail, times=1)
        reloaded(mail, times=1)
        assert smtp.ask(b"NOOP").startswith(b"250 2.0.0")
        assert imap.ask(b"b SELECT INBOX", rb"^b ").startswith(b"b OK")
        assert pop3.ask(b"CAPA", rb"^\.$") == b"."


def test_no_connection_is_refused_and_nothing_is_lost_during_reloads(mail: Instance) -> None:
    accepted: list[str] = []
    refusals: list[BaseException] = []
    stop = threading.Event()

    def keep_sending(name: str) -> None:
        count = 0
        while not stop.is_set():
            word = f"stream-{name}-{count}-"
            count += 1
            try:
                bring(mail, word)
                accepted.append(word)
            except (OSError, AssertionError) as error:
                refusals.append(error)

    threads = [threading.Thread(target=keep_sending, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            count = len(accepted)
            reloaded(mail)
            mail.wait_for(lambda: len(accepted) >= count + 10)  # noqa: B023
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert refusals == []
    mail.wait_for(lambda: not mail.queue_ids())
    everything = b"".join(mail.mailbox(BOB))
    assert [word for word in accepted if word.encode() not in everything] == []


def test_after_a_reload_the_log_goes_on(mail: Instance) -> None:
    reloaded(mail)
    send(mail, BOB, marked("logged-after-reload"))
    arrived(mail, "logged-after-reload")
    number = len(mail.log_lines())
    mail.wait_for(lambda: mail.log_matching("status=sent"))
    assert number


def test_after_a_reload_old_processes_go_and_none_is_left_over(mail: Instance) -> None:
    before = {each.pid for each in tree(mail.master_pid())} - {mail.master_pid()}
    reloaded(mail)
    mail.wait_for(lambda: not any(map(alive, before)))
    mail.wait_for(lambda: len(tree(mail.master_pid())) - 1 == len(before))


def test_a_log_file_that_was_moved_away_is_begun_anew_by_a_reload(mail: Instance) -> None:
    path = mail.root / "log" / "mail.log"
    path.rename(path.with_suffix(".1"))
    mail.reload()
    mail.wait_for(lambda: mail.log_matching("reload -- "))
    send(mail, BOB, marked("rotated"))
    mail.wait_for(lambda: mail.log_matching(r"client=localhost\[127\.0\.0\.1\]"))


def test_a_reload_with_a_mistake_changes_nothing(mail: Instance) -> None:
    mail.set("smtpd_baner", "x")
    done = mail.run(["pillarbox", "reload"])
    assert done.returncode == 78
    assert 'smtpd_baner: unknown parameter; did you mean "smtpd_banner"?' in done.stderr
    os.kill(mail.master_pid(), signal.SIGHUP)  # as systemd would
    mail.wait_for(
        lambda: mail.log_matching(r"master\[\d+\]: error: reload refused, the old configuration stays: .*smtpd_baner")
    )
    send(mail, BOB, marked("still-there"))
    arrived(mail, "still-there")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("smtp_tls_CAfile", "/nonexistent/ca.pem", "cannot read the certification authorities in /nonexistent/ca.pem"),
        ("tls_medium_cipherlist", "NO-SUCH-CIPHER", "OpenSSL knows no cipher in this list: NO-SUCH-CIPHER"),
        ("mta_sts_CAfile", "/nonexistent/web.pem", "mta_sts_CAfile: cannot read /nonexistent/web.pem"),
    ],
)
def test_a_reload_with_which_a_client_could_not_start_changes_nothing(
    mail: Instance, name: str, value: str, why: str
) -> None:
    before = len(mail.log_matching("reload -- "))
    mail.set(name, value)
    told = mail.run(["pillarbox", "check"])
    assert why in told.stderr
    done = mail.run(["pillarbox", "reload"])
    assert done.returncode == os.EX_CONFIG
    *refusals, outcome = done.stderr.splitlines()
    assert refusals
    assert set(refusals) <= set(told.stderr.splitlines()), "the same words as check has"
    assert outcome == "pillarbox: not reloaded, the old configuration stays"
    os.kill(mail.master_pid(), signal.SIGHUP)  # as systemd would
    refused = rf"error: reload refused, the old configuration stays: .*{re.escape(why)}"
    mail.wait_for(lambda: mail.log_matching(refused))
    assert len(mail.log_matching("reload -- ")) == before


# Stop and start


def test_stop_waits_for_a_message_in_transfer(mail: Instance) -> None:
    with in_data(mail, "over-stop") as smtp:
        stopping = threading.Thread(target=mail.stop)
        stopping.start()
        mail.wait_for(lambda: mail.log_matching("terminating: draining sessions"))
        assert stopping.is_alive()
        assert smtp.ask(b"second half\r\n.").startswith(b"250 2.0.0 Ok: queued as ")
        stopping.join()
    mail.start()
    assert b"second half\n" in arrived(mail, "over-stop")


def test_stop_ends_idle_sessions(mail: Instance) -> None:
    with Dialogue(mail, "smtp") as smtp, Dialogue(mail, "imap") as imap, Dialogue(mail, "pop3") as pop3:
        smtp.until(rb"^220 ")
        imap.until(rb"^\* OK")
        pop3.until(rb"^\+OK")
        mail.stop()
        assert smtp.line() == b"421 4.3.2 mx.example.org Service shutting down, try again later"
        assert imap.line().startswith(b"* BYE")
        assert pop3.line().startswith(b"-ERR")


def test_sendmail_takes_mail_while_the_suite_is_stopped(mail: Instance) -> None:
    mail.stop()
    mail.run(["sendmail", "-f", ALICE, BOB], input=b"Subject: x\n\nwhile-stopped\n", check=True)
    assert len(mail.queue_ids()) == 1
    listing = mail.run(["postqueue", "-p"])
    assert "mail system is down" in (listing.stdout + listing.stderr).lower() or mail.queue_ids()[0] in listing.stdout
    mail.start()
    arrived(mail, "while-stopped")


def test_status_tells_whether_it_runs(mail: Instance) -> None:
    running = mail.run(["pillarbox", "status"])
    assert (running.returncode, running.stdout) == (
        0,
        f"pillarbox: the mail system is running: PID: {mail.master_pid()}\n",
    )
    mail.stop()
    stopped = mail.run(["pillarbox", "status"])
    assert (stopped.returncode, stopped.stderr) == (1, "pillarbox: the mail system is not running\n")


def test_a_second_start_says_that_it_runs(mail: Instance) -> None:
    pid = mail.master_pid()
    done = mail.run(["pillarbox", "start"])
    assert (done.returncode, done.stderr) == (69, f"pillarbox: the mail system is already running: PID: {pid}\n")
    assert mail.master_pid() == pid


def test_a_stop_of_what_does_not_run_says_so(halted: Instance) -> None:
    done = halted.run(["pillarbox", "stop"])
    assert (done.returncode, done.stderr) == (1, "pillarbox: the mail system is not running\n")


def test_a_process_that_is_killed_is_replaced_and_logged(mail: Instance) -> None:
    (victim,) = [each.pid for each in tree(mail.master_pid()) if title(each.pid) == "pillarbox: qmgr"]
    os.kill(victim, signal.SIGKILL)
    mail.wait_for(lambda: mail.log_matching(rf"process qmgr pid {victim} of service qmgr killed by signal 9"))
    send(mail, BOB, marked("after-the-murder"))
    arrived(mail, "after-the-murder")


# What is wrong is said


def test_a_port_in_use_is_named(halted: Instance) -> None:
    with socket.create_server((halted.address, halted.port("imap"))):
        done = halted.run(["pillarbox", "start"])
        checked = halted.run(["pillarbox", "check"])
    assert done.returncode == 69
    assert re.search(rf"imap-login: .*127\.0\.0\.1.*{halted.port('imap')}.*Address already in use", done.stderr), done
    assert re.search(rf"imap-login: cannot listen on 127\.0\.0\.1 port {halted.port('imap')}", checked.stderr), checked
    assert not (halted.root / "run" / "master.pid").read_text().strip()


def test_a_directory_with_a_wrong_owner_is_named(halted: Instance) -> None:
    if os.geteuid() != 0:
        raise AssertionError("this test needs root: it gives a directory away")
    path = halted.root / "spool" / "deferred"
    owner = path.stat().st_uid
    os.chown(path, 54321, -1)
    try:
        done = halted.run(["pillarbox", "check"])
    finally:
        os.chown(path, owner, -1)
    assert done.returncode == 78
    assert done.stderr == f"pillarbox: {path}: belongs to uid 54321, not to mail_owner ({owner}); chown it\n"


def test_a_sound_instance_passes_the_check(mail: Instance) -> None:
    done = mail.run(["pillarbox", "check"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("pillarbox: no mistake found\n")


@pytest.mark.parametrize("verb", ["check", "start"])
def test_a_misspelled_key_is_named_with_its_line_and_what_was_meant(halted: Instance, verb: str) -> None:
    halted.set("mesage_size_limit", "1000")
    path = halted.config / "main.yaml"
    number = path.read_text().splitlines().index('mesage_size_limit: "1000"') + 1
    done = halted.run(["pillarbox", verb])
    assert done.returncode == 78
    assert done.stderr == (
        f'pillarbox: {path}, line {number}: mesage_size_limit: unknown parameter; did you mean "message_size_limit"?\n'
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("message_size_limit", "lots", "message_size_limit: a size in bytes was expected"),
        ("smtpd_timeout", "5 parsecs", 'smtpd_timeout: a time such as "30s"'),
        ("log_format", "xml", "json"),
        ("inet_interfaces", "203.0.113.7", "203.0.113.7"),
    ],
)
def test_a_wrong_value_is_named(halted: Instance, name: str, value: str, said: str) -> None:
    halted.set(name, value)
    done = halted.run(["pillarbox", "start"])
    assert done.returncode in (69, 78)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["a: [1\n", "\tx: 1\n", "- a\n", "a: 1\na: 2\n", "\x00\n"])
def test_a_file_that_is_no_yaml_is_named(halted: Instance, text: str) -> None:
    (halted.config / "main.yaml").write_text(text)
    done = halted.run(["pillarbox", "check"])
    assert done.returncode == 78
    assert str(halted.config / "main.yaml") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_without_a_program_is_named(halted: Instance) -> None:
    with (halted.config / "master.yaml").open("a") as file:
        file.write("mystery:\n  command: no_such_program\n")
    done = halted.run(["pillarbox", "start"])
    assert done.returncode in (69, 78)
    assert "no_such_program" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_alias_file_with_a_mistake_is_told_and_the_rest_counts(mail: Instance) -> None:
    path = mail.config / "aliases"
    text = path.read_text()
    path.write_text(text + "this is no alias\n")
    try:
        done = mail.run(["newaliases"])
    finally:
        path.write_text(text)
        mail.run(["newaliases"], check=True)
    number = len(text.splitlines()) + 1
    assert f"{path}, line {number}: need name:value pair" in done.stderr
    assert done.returncode == 0


# What one sees


def test_ps_shows_what_each_process_is(mail: Instance) -> None:
    titles = [re.sub(r" \d+ sessions?$", "", title(each.pid)) for each in tree(mail.master_pid())]
    for expected in ("master", "smtpd", "smtpd [submission]", "cleanup", "qmgr", "virtual", "lookup", "imap"):
        assert f"pillarbox: {expected}" in titles, titles
    assert [each for each in titles if not each.startswith("pillarbox: ")] == []


def test_ps_shows_the_number_of_sessions(mail: Instance) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(Dialogue(mail, "submission")).until(rb"^220 ")
        mail.wait_for(lambda: sessions(mail, "smtpd [submission]") == 3)
    mail.wait_for(lambda: sessions(mail, "smtpd [submission]") == 0)


def sessions(mail: Instance, name: str) -> int:
    titles = [title(each.pid) for each in tree(mail.master_pid())]
    found = [re.fullmatch(re.escape(f"pillarbox: {name}") + r"(?: (\d+) sessions?)?", each) for each in titles]
    return sum(int(match[1] or 0) for match in found if match)


# Where the log goes


def test_the_foreground_writes_the_log_to_standard_output(tmp_path: Path) -> None:
    mail = Instance(users=USERS, settings={"maillog_file": "/dev/stdout"})
    try:
        mail.init()
        with (tmp_path / "out").open("wb") as out:
            process = subprocess.Popen(
                mail.command(["pillarbox", "start", "--foreground"]),
                stdout=out,
                stderr=subprocess.STDOUT,
                env=mail.environment(),
            )
            try:
                read = (tmp_path / "out").read_text
                mail.wait_for(lambda: "daemon started -- version" in read() or process.poll() is not None)
                assert process.pid == mail.master_pid()
                send(mail, BOB)
                mail.wait_for(lambda: "status=sent (delivered to maildir)" in read())
            finally:
                process.terminate()
                status = process.wait(60)
        assert status == 0
        assert read().splitlines()[-1].endswith(": stopped")
    finally:
        mail.close()


def test_the_log_can_be_json_lines() -> None:
    with Instance(users=USERS, settings={"log_format": "json"}) as mail:
        send(mail, BOB)
        mail.wait_for(lambda: mail.log_matching('"status": "sent"'))
        records = [json.loads(line) for line in mail.log_lines()]
    (sent,) = [record for record in records if record.get("status") == "sent"]
    assert sent["program"] == "pillarbox/virtual"
    assert sent["to"] == f"<{BOB}>"
    assert re.fullmatch(r"[0-9A-Za-z]{14,}", sent["queue_id"])
    assert abs(sent["time"] - time.time()) < 3600


class SyslogInstance(Instance):
    """An instance whose processes see a /dev with a logger of the test's own.  Needs root, for a mount namespace."""

    def command(self, arguments: Sequence[str]) -> list[str]:
        if os.geteuid() != 0:
            raise AssertionError("a /dev of the test's own needs root, for a mount namespace")
        dev = shlex.quote(str(self.directory / "dev"))
        nodes = "null zero full random urandom tty"
        script = (
            f"for node in {nodes}; do : > {dev}/$node; mount --bind /dev/$node {dev}/$node; done; "
            f'mount --rbind {dev} /dev && exec "$@"'
        )
        return ["unshare", "--mount", "sh", "-c", script, "sh", *super().command(arguments)]


def test_the_log_can_go_to_syslog() -> None:
    mail = SyslogInstance(users=USERS, settings={"maillog_file": "syslog"})
    (mail.directory / "dev").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as logger:
        path = mail.directory / "dev" / "log"
        logger.bind(str(path))
        path.chmod(0o666)
        logger.settimeout(30)
        with mail:
            send(mail, BOB)
            lines: list[bytes] = []
            while not lines or b"status=sent" not in lines[-1]:
                lines.append(logger.recv(8192))
    # RFC 3164: facility mail (2), severity info (6); no host name, as the C library writes it.
    assert re.match(rb"<22>\w{3} [ \d]\d [\d:]{8} pillarbox/virtual\[\d+\]: \w+: to=<bob@example\.org>", lines[-1])


def test_logins_and_deliveries_can_be_counted_by_their_lines(mail: Instance) -> None:
    with Dialogue(mail, "imaps") as imap:
        imap.until(rb"^\* OK")
        imap.ask(b"a LOGIN %s {%d+}\r\n%s" % (BOB.encode(), len(PASSWORD), PASSWORD.encode()), rb"^a OK")
        imap.ask(b"b LOGOUT", rb"^b OK")
    mail.wait_for(
        lambda: mail.log_matching(r"imap-login: Login: user=<bob@example\.org>, method=\S+, rip=127\.0\.0\.1, .*TLS")
    )
