"""`sendmail` as other programs call it: a process with arguments and standard input."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pillarbox.commands import sendmail
from pillarbox.lib.queue.maildrop import Submission, Wishes, read_submission

SCRIPT = Path(sendmail.__file__).resolve()
ROOT = SCRIPT.parent.parent


def run(
    instance: Path,
    *arguments: str,
    stdin: bytes = b"Subject: x\n\nbody\n",
    name: str = "sendmail",
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run the module with `name` as argv[0]."""
    code = f"import sys; sys.argv[0] = {name!r}; from pillarbox.commands.sendmail import main; sys.exit(main())"
    settings = {"PYTHONPATH": f"{ROOT}/src", "MAIL_CONFIG": f"{instance}/etc", "PATH": "/bin", **(environment or {})}
    command = [sys.executable, "-P", "-c", code, *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, env=settings, timeout=30, check=False)


def dropped(instance: Path) -> list[tuple[Submission, bytes]]:
    """All submissions in maildrop/ with their content; the directory is emptied."""
    found = []
    for path in sorted((instance / "spool" / "maildrop").iterdir(), key=lambda path: path.stat().st_mtime_ns):
        descriptor = os.open(path, os.O_RDONLY)
        submission = read_submission(descriptor)
        found.append((submission, os.pread(descriptor, submission.length, submission.offset)))
        os.close(descriptor)
        path.unlink()
    return found


def one(
    instance: Path, *arguments: str, stdin: bytes = b"Subject: x\n\nbody\n", **more: str
) -> tuple[Submission, bytes]:
    """Submit successfully; what was dropped."""
    result = run(instance, *arguments, stdin=stdin, environment=more)
    assert (result.returncode, result.stderr) == (0, b"")
    (found,) = dropped(instance)
    return found


class TestDelivering:
    def test_a_message_is_dropped_while_the_system_is_stopped(self, instance: Path) -> None:
        submission, content = one(instance, "-f", "a@x.test", "b@y.test", "root")
        assert submission.sender == "a@x.test"
        assert submission.recipients == ("b@y.test", "root")
        assert content == b"Subject: x\n\nbody\n"

    def test_only_pickup_can_tell_that_it_is_there(self, instance: Path) -> None:
        run(instance, "b@y.test")
        (path,) = (instance / "spool" / "maildrop").iterdir()
        assert path.stat().st_mode & 0o7777 == 0o644
        assert path.stat().st_nlink == 1
        assert len(path.name) == 32

    def test_the_sender_is_the_caller(self, instance: Path) -> None:
        import pwd

        submission, _ = one(instance, "b@y.test")
        assert submission.sender == pwd.getpwuid(os.getuid()).pw_name

    @pytest.mark.parametrize("value", ["", "<>"])
    def test_the_null_sender(self, instance: Path, value: str) -> None:
        assert one(instance, "-f", value, "b@y.test")[0].sender == ""

    def test_the_sender_may_be_written_as_in_a_header(self, instance: Path) -> None:
        assert one(instance, "-f", "Jane <jane@x.test>", "b@y.test")[0].sender == "jane@x.test"
        assert one(instance, "-rjane@x.test", "b@y.test")[0].sender == "jane@x.test"

    def test_full_names(self, instance: Path) -> None:
        assert one(instance, "-F", "Jane D.", "b@y")[0].full_name == "Jane D."
        assert one(instance, "b@y", NAME="From Env")[0].full_name == "From Env"
        assert one(instance, "-FJane\nBcc: x", "b@y")[0].full_name == "Jane Bcc: x"

    def test_several_recipients_in_one_word(self, instance: Path) -> None:
        submission, _ = one(instance, "a@x, B <b@y>", '"c d"@z')
        assert submission.recipients == ("a@x", "b@y", '"c d"@z')

    def test_each_recipient_once(self, instance: Path) -> None:
        assert one(instance, "a@x", "a@x")[0].recipients == ("a@x",)

    def test_words_after_the_first_recipient_are_recipients(self, instance: Path) -> None:
        result = run(instance, "a@x", "-C/etc/evil")
        assert result.returncode == 0
        assert dropped(instance)[0][0].recipients == ("a@x", "-C/etc/evil")

    def test_dsn_options(self, instance: Path) -> None:
        submission, _ = one(instance, "-N", "failure,delay", "-R", "hdrs", "-V", "id-42", "-B8BITMIME", "-G", "b@y")
        assert submission.notify == ("failure", "delay")
        assert (submission.ret, submission.envid, submission.body) == ("hdrs", "id-42", "8bitmime")
        assert submission.gateway

    def test_ignored_options(self, instance: Path) -> None:
        ignored = [
            "-oem",
            "-oee",
            "-odb",
            "-o7",
            "-om",
            "-U",
            "-m",
            "-c",
            "-x",
            "-hx",
            "-px",
            "-Lx",
            "-ex",
            "-Ac",
            "-On=v",
            "-n",
            "-bm",
            "--",
        ]
        submission, _ = one(instance, *ignored, "b@y")
        assert submission.recipients == ("b@y",)

    def test_an_international_address_needs_smtputf8(self, instance: Path) -> None:
        submission, _ = one(instance, "jørn@y.test", LC_ALL="C.UTF-8")
        assert submission.recipients == ("jørn@y.test",)
        assert submission.smtputf8

    @pytest.mark.parametrize(("value", "required"), [("yes", True), ("no", False), ("YES", True)])
    def test_tls_can_be_required_all_the_way(self, instance: Path, value: str, required: bool) -> None:
        submission, _ = one(instance, f"-Orequiretls={value}", "b@y")
        assert submission.requiretls is required


class TestFromTheHeader:
    MESSAGE = b"To: a@x, B <b@y>\nCc: c@z\nBcc: d@w\nSubject: x\n\nTo: no@body\n"

    def test_recipients_of_the_header(self, instance: Path) -> None:
        submission, content = one(instance, "-t", stdin=self.MESSAGE)
        assert submission.recipients == ("a@x", "b@y", "c@z", "d@w")
        assert content == self.MESSAGE

    def test_those_of_the_command_line_too(self, instance: Path) -> None:
        assert one(instance, "-ti", "x@x", stdin=self.MESSAGE)[0].recipients[0] == "x@x"

    def test_none_is_an_error(self, instance: Path) -> None:
        result = run(instance, "-t", stdin=b"Subject: x\n\nbody\n")
        assert result.returncode == 64
        assert b"No recipient addresses found in message header" in result.stderr
        assert dropped(instance) == []

    def test_a_bad_address_is_said_and_the_others_are_served(self, instance: Path) -> None:
        result = run(instance, "-t", stdin=b"To: a b, ok@x\n\n")
        assert result.returncode == 0
        assert b'bad address syntax in the message header: "a b"' in result.stderr
        assert dropped(instance)[0][0].recipients == ("ok@x",)


class TestContent:
    @pytest.mark.parametrize(
        ("stdin", "content"),
        [
            (b"a\n.\nb\n", b"a\n"),
            (b".\nb\n", b""),
            (b"a\n..\n", b"a\n..\n"),
            (b"a\r\nb\r\n.\r\nc", b"a\nb\n"),
            (b"a\rb\r\r\n", b"a\rb\r\n"),
            (b"From x\n>From y\nSubject: x\n\nFrom z\n", b"Subject: x\n\nFrom z\n"),
            (b"no end", b"no end\n"),
            (b"", b""),
            (b"x" * 200_000, b"x" * 200_000 + b"\n"),
            (b"x" * 65535 + b"\r\n.\r\n", b"x" * 65535 + b"\n"),
            (b"x" * 65536 + b"\r\n.\r\n", b"x" * 65536 + b"\n"),
            (b"a\n.", b"a\n"),
        ],
    )
    def test_lines(self, instance: Path, stdin: bytes, content: bytes) -> None:
        assert one(instance, "b@y", stdin=stdin)[1] == content

    @pytest.mark.parametrize("option", ["-i", "-oi"])
    def test_dots_can_be_content(self, instance: Path, option: str) -> None:
        assert one(instance, option, "b@y", stdin=b"a\n.\nb\n")[1] == b"a\n.\nb\n"

    def test_any_cutting_gives_the_same_content(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = b"From x\r\nSubject: a\r\n\r\nline\r\n.not\r\n" + b"y" * 50 + b"\r\nlast\r\n.\r\nbeyond\r\n"
        whole = b"Subject: a\n\nline\n.not\n" + b"y" * 50 + b"\nlast\n"
        chooser = random.Random(7)
        for size in (7, 20, 1000):
            monkeypatch.setattr(sendmail, "READ_SIZE", size)
            for _ in range(50):
                reading, writing = os.pipe()
                rest = data

                def read(descriptor: int, count: int) -> bytes:
                    nonlocal rest
                    taken = chooser.randint(1, count)
                    piece, rest = rest[:taken], rest[taken:]
                    return piece

                monkeypatch.setattr(sendmail.os, "read", read)
                assert b"".join(sendmail.lines_of(reading, True)) == whole
                monkeypatch.undo()
                monkeypatch.setattr(sendmail, "READ_SIZE", size)
                os.close(reading)
                os.close(writing)


class TestReports:
    def test_verp(self, instance: Path) -> None:
        assert one(instance, "-f", "a@x.test", "-XV", "b@y.test")[0].verp == "default"
        assert one(instance, "-f", "a@x.test", "-XV-=", "b@y.test")[0].verp == "-="

    @pytest.mark.parametrize("arguments", [["-XV", "b@y"], ["-f", "", "-XV", "b@y"], ["-f", "a@b", "-XV+", "b@y"]])
    def test_verp_needs_a_sender_and_two_characters(self, instance: Path, arguments: list[str]) -> None:
        assert run(instance, *arguments).returncode == 64
        assert dropped(instance) == []

    def test_a_report_of_a_delivery_is_promised_to_the_sender(self, instance: Path) -> None:
        result = run(instance, "-v", "-f", "a@x.test", "b@y.test")
        assert result.stdout == b"Mail Delivery Status Report will be mailed to <a@x.test>.\n"
        ((submission, _),) = dropped(instance)
        assert (submission.report, submission.notify) == ("record", ())

    def test_wishes_for_single_recipients_survive_a_dialogue(self, instance: Path) -> None:
        script = (
            b"EHLO c\r\nMAIL FROM:<a@x.test> RET=HDRS ENVID=q1\r\n"
            b"RCPT TO:<b@y.test> NOTIFY=NEVER\r\n"
            b"RCPT TO:<c@y.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;C+40z.test\r\n"
            b"RCPT TO:<d@y.test>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n"
        )
        assert run(instance, "-bs", stdin=script).returncode == 0
        ((submission, _),) = dropped(instance)
        assert submission.recipients == ("b@y.test", "c@y.test", "d@y.test")
        assert (submission.ret, submission.envid) == ("hdrs", "q1")
        assert submission.wishes == {
            0: Wishes(("never",)),
            1: Wishes(("success", "failure"), "rfc822;C@z.test"),
        }


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "status", "text"),
        [
            ([], 64, "Recipient addresses must be specified on the command line or via the -t option"),
            (["-by", "x"], 64, "unsupported: -by"),
            (["-XL", "x"], 64, "unsupported: -XL"),
            (["-Bx", "x"], 64, "-B option needs 8BITMIME or 7BIT"),
            (["-bp", "x"], 64, "display queue mode requires no recipient"),
            (["-bp", "-t"], 64, "-t can be used only in delivery mode"),
            (["-qSx"], 69, "-qS is not implemented"),
            (["-Z", "x"], 64, "usage"),
            (["-f"], 64, "option requires an argument -- 'f'"),
            (["a b"], 65, 'bad address syntax: "a b"'),
            (["a@x\nb@y"], 65, "bad address syntax"),
            (["-C/nonexistent", "x"], 69, "open /nonexistent/main.yaml: No such file or directory"),
        ],
    )
    def test_one_line_that_says_why(self, instance: Path, arguments: list[str], status: int, text: str) -> None:
        result = run(instance, *arguments)
        assert result.returncode == status
        assert text in result.stderr.decode()
        assert b"Traceback" not in result.stderr
        assert result.stderr.decode().splitlines()[-1].startswith("sendmail: fatal: ")
        assert dropped(instance) == []

    def test_warnings_do_not_stop_the_mail(self, instance: Path) -> None:
        result = run(instance, "-Nbogus", "-Rbogus", "-Vx", "b@y")
        assert result.returncode == 0
        assert result.stderr.count(b"warning") == 3
        assert len(dropped(instance)) == 1

    def test_too_large(self, instance: Path) -> None:
        with (instance / "etc" / "main.yaml").open("a") as stream:
            stream.write("message_size_limit: 1000\n")
        result = run(instance, "b@y", stdin=b"x" * 2000)
        assert result.returncode == 65
        assert b"message file too big" in result.stderr
        assert list((instance / "spool" / "maildrop").iterdir()) == []

    def test_no_queue_directory(self, instance: Path) -> None:
        (instance / "spool" / "maildrop").rmdir()
        result = run(instance, "b@y")
        assert result.returncode == 75
        assert b"maildrop: No such file or directory" in result.stderr

    def test_other_modes_that_end_well(self, instance: Path) -> None:
        assert run(instance, "-bh").returncode == 0
        assert run(instance, "-q15m").returncode == 0
        assert dropped(instance) == []

    def test_mailq_by_name_and_by_option(self, instance: Path) -> None:
        for result in (run(instance, name="/usr/bin/mailq"), run(instance, "-bp")):
            assert b"Mail queue is empty" in result.stdout

    def test_flush_while_stopped(self, instance: Path) -> None:
        result = run(instance, "-q")
        assert result.returncode == 69
        assert b"Cannot flush mail queue - mail system is down" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_any_user_may_submit_and_the_file_is_the_users(instance: Path) -> None:
    reachable = Path(tempfile.mkdtemp())  # pytest's own directories are closed to other users
    reachable.chmod(0o755)
    try:
        shutil.copytree(instance, reachable, dirs_exist_ok=True)
        assert submit_as(61234, reachable) == 0
        (path,) = (reachable / "spool" / "maildrop").iterdir()
        assert path.stat().st_uid == 61234
    finally:
        shutil.rmtree(reachable)


def submit_as(uid: int, instance: Path) -> int:
    """Submit as another user, in a child process; the exit status."""
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        reading, writing = os.pipe()
        os.write(writing, b"Subject: x\n\nbody\n")
        os.close(writing)
        os.dup2(reading, 0)
        os._exit(sendmail.main(["sendmail", "-C", f"{instance}/etc", "b@y.test"]))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_without_nameless_files_the_result_is_the_same(instance: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refusing(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "Operation not supported")
        return real(path, flags, mode)

    monkeypatch.setattr(sendmail.os, "open", refusing)
    submission = sendmail.Submission(f"{instance}/spool", 0, b"sender a\nrecipient b\n\n")
    submission.write(b"x\n")
    assert [path.name[0] for path in (instance / "spool" / "maildrop").iterdir()] == ["."]
    submission.commit()
    submission.close()
    monkeypatch.undo()
    assert dropped(instance)[0][1] == b"x\n"


class TestSettings:
    @pytest.mark.parametrize(
        ("text", "queue", "limit"),
        [
            ("", "{}/spool", 10240000),
            ("queue_directory: /var/q\n", "/var/q", 10240000),
            ('queue_directory: "/var/q" # here\nmessage_size_limit: 5 # bytes\n', "/var/q", 5),
            ("instance_directory: /srv/p\nqueue_directory: ${instance_directory}/q\n", "/srv/p/q", 10240000),
            ("#queue_directory: /no\n", "{}/spool", 10240000),
            ("mail_directory: /a\nqueue_directory: $mail_directory/q\n", "/a/q", 10240000),
            ("queue_directory:\n  /indented/q\n", "/indented/q", 10240000),
        ],
    )
    def test_the_quick_reader_agrees_with_the_full_one(self, instance: Path, text: str, queue: str, limit: int) -> None:
        from pillarbox.lib.config import load
        from pillarbox.lib.config.parameters.general import MESSAGE_SIZE_LIMIT, QUEUE_DIRECTORY

        (instance / "etc" / "main.yaml").write_text(text)
        expected = (queue.format(instance), limit)
        assert sendmail.settings(f"{instance}/etc") == expected
        config = load(f"{instance}/etc")
        assert (config[QUEUE_DIRECTORY], config[MESSAGE_SIZE_LIMIT]) == expected


def test_starting_needs_next_to_nothing() -> None:
    """What the common case imports; each further module is felt by everyone who sends mail from a script."""
    code = (
        "import sys; before = set(sys.modules); import pillarbox.commands.sendmail;"
        "print(' '.join(sorted(set(sys.modules) - before)))"
    )
    command = [sys.executable, "-P", "-S", "-c", code]
    result = subprocess.run(
        command, env={"PYTHONPATH": f"{ROOT}/src"}, capture_output=True, text=True, timeout=30, check=True
    )
    assert set(result.stdout.split()) <= {
        "__future__",
        "pillarbox",
        "pillarbox.commands",
        "pillarbox.commands.sendmail",
        *("os", "os.path", "stat", "_stat", "posixpath", "genericpath", "_collections_abc", "abc", "_abc"),
    }


class TestDialogue:
    def talk(self, instance: Path, *lines: str) -> list[str]:
        result = run(instance, "-bs", stdin=("\r\n".join(lines) + "\r\n").encode())
        assert result.stderr == b""
        assert result.returncode == 0
        return result.stdout.decode().splitlines()

    def test_a_message(self, instance: Path) -> None:
        replies = self.talk(
            instance,
            "EHLO x",
            "MAIL FROM:<a@x.test> RET=HDRS ENVID=q1",
            "RCPT TO:<b@y.test> NOTIFY=FAILURE",
            "RCPT TO:<c@y.test>",
            "DATA",
            "Subject: x",
            "",
            "..dot",
            ".",
            "QUIT",
        )
        assert replies[0].startswith("220 mx.test ESMTP")
        assert replies[-3].startswith("354")
        assert replies[-2].startswith("250 2.0.0 Ok: queued")
        assert replies[-1] == "221 2.0.0 Bye"
        ((submission, content),) = dropped(instance)
        assert submission.recipients == ("b@y.test", "c@y.test")
        assert (submission.ret, submission.envid, submission.notify) == ("hdrs", "q1", ())
        assert submission.wishes == {0: Wishes(("failure",))}
        assert content == b"Subject: x\n\n.dot\n"

    def test_an_end_in_the_middle_drops_nothing(self, instance: Path) -> None:
        self.talk(instance, "HELO x", "MAIL FROM:<a@x.test>", "RCPT TO:<b@y.test>", "DATA", "Subject: x")
        assert dropped(instance) == []

    def test_two_messages_and_a_reset(self, instance: Path) -> None:
        start = ("MAIL FROM:<>", "RCPT TO:<b@y.test>")
        self.talk(instance, "HELO x", *start, "RSET", *start, "DATA", "1", ".", *start, "DATA", "2", ".", "QUIT")
        assert sorted(content for _, content in dropped(instance)) == [b"1\n", b"2\n"]

    def test_nonsense_is_answered(self, instance: Path) -> None:
        replies = self.talk(instance, "BOGUS", "RCPT TO:<x>", "STARTTLS", "QUIT")
        assert [reply[0] for reply in replies] == ["2", "5", "5", "5", "2"]
