"""Users and senders who mean harm: whatever stands in homes, mail directories and addresses, a step does what its user
could have done, and nothing of another's is read, written or run.

The races are run as races: a process of the user's swaps what is at a path while mail is delivered to it.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pillarbox.lib.delivery.excerpt import SMALL
from pillarbox.lib.log import log
from pillarbox.local import deliverer
from pillarbox.local.steps import Message, Outcome, Report
from tests.local.conftest import FIRST_UID, House, needs_root

pytestmark = needs_root

ROUNDS = 30
SECRET = "bob's secret\n"


def one(house: House, address: str, **options: object) -> tuple[str, str, str]:
    (result,) = house.deliver(address, **options)  # type: ignore[arg-type]
    return result.status, result.dsn, result.text


@pytest.fixture
def victim(house: House) -> Path:
    """A file of bob's, which ann may not even read."""
    return house.write("bob", "secret", SECRET, mode=0o600)


@contextmanager
def swapping(uid: int, swap: Callable[[int], None]) -> Iterator[None]:
    """A process of the user `uid` that goes on swapping until the end."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            number = 0
            while True:
                number += 1
                try:
                    swap(number)
                except OSError:
                    pass
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def untouched(victim: Path) -> None:
    about = victim.stat()
    assert victim.read_text() == SECRET
    assert (about.st_uid, stat.S_IMODE(about.st_mode), about.st_nlink) == (FIRST_UID + 1, 0o600, 1)


def _alternate(path: Path, victim: Path, kind: str) -> Callable[[int], None]:
    """Now the victim's link is at `path`, now a file of the user's own."""
    spare = path.with_name("spare")

    def swap(number: int) -> None:
        spare.unlink(missing_ok=True)
        if number % 2:
            if kind == "symlink":
                spare.symlink_to(victim)
            else:
                os.link(victim, spare)
        else:
            spare.write_text("")
        os.rename(spare, path)

    return swap


@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_a_race_about_the_mailbox_writes_nobody_elses_file(house: House, victim: Path, kind: str) -> None:
    house.spool.chmod(0o777)
    with swapping(FIRST_UID, _alternate(house.spool / "ann", victim, kind)):
        results = house.deliver(*["ann@example.com"] * ROUNDS)
    assert {result.status for result in results} <= {"sent", "deferred"}
    untouched(victim)


@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_a_race_about_the_spool_gives_nobody_elses_file_away(house: House, victim: Path, kind: str) -> None:
    """The parent makes the mailbox as root and gives it to the user: it must be the one that it has made."""
    house.spool.chmod(0o777)
    box = house.spool / "ann"
    alternate = _alternate(box, victim, kind)

    def swap(number: int) -> None:
        box.unlink(missing_ok=True)
        alternate(number)

    with swapping(FIRST_UID, swap):
        house.deliver(*["ann@example.com"] * ROUNDS)
    untouched(victim)


@pytest.mark.parametrize("part", ["Maildir", "Maildir/tmp", "Maildir/new"])
def test_a_race_about_a_maildir_puts_nothing_into_anothers(house: House, part: str) -> None:
    house.options["home_mailbox"] = "Maildir/"
    ann, bob = (house.people[name].home for name in ("ann", "bob"))
    house.deliver("ann@example.com", "bob@example.com")
    theirs = bob / part
    before = sorted(path.name for path in (bob / "Maildir" / "new").iterdir())

    def swap(number: int) -> None:
        place, aside = ann / part, ann / "aside"
        os.rename(place, aside)
        place.symlink_to(theirs)
        place.unlink()
        os.rename(aside, place)

    with swapping(FIRST_UID, swap):
        results = house.deliver(*["ann@example.com"] * ROUNDS)
    assert {result.status for result in results} <= {"sent", "deferred"}
    assert sorted(path.name for path in (bob / "Maildir" / "new").iterdir()) == before
    assert list((bob / "Maildir" / "tmp").iterdir()) == []


def test_a_race_about_a_forward_file_reads_nobody_elses(house: House, victim: Path) -> None:
    victim.write_text("stolen-by-forward@far.example\n")
    os.chown(victim, FIRST_UID + 1, -1)
    with (
        swapping(FIRST_UID, _alternate(house.people["ann"].home / ".forward", victim, "symlink")),
        log.capture() as lines,
    ):
        house.deliver(*["ann@example.com"] * ROUNDS)
    assert house.services.received == []
    assert not any("stolen-by-forward" in line for line in lines)


def test_a_race_about_a_list_reads_nothing_with_anothers_rights(house: House, victim: Path) -> None:
    """The owner of a list decides who reads it: a link of ann's must not make that bob."""
    victim.write_text("stolen-by-include@far.example, <stolen\n")
    os.chown(victim, FIRST_UID + 1, -1)
    path = house.people["ann"].home / "list"
    house.services.aliases["all"] = f":include:{path}"
    with swapping(FIRST_UID, _alternate(path, victim, "symlink")), log.capture() as lines:
        house.deliver(*["all@example.com"] * ROUNDS)
    assert house.services.received == []
    assert not any("stolen" in line for line in lines)


def test_a_link_of_anothers_on_the_way_to_a_list_is_not_taken(house: House, victim: Path) -> None:
    (house.people["ann"].home / "lists").symlink_to(house.people["bob"].home)
    os.chown(house.people["ann"].home / "lists", FIRST_UID, FIRST_UID, follow_symlinks=False)
    victim.write_text("stolen-by-include@far.example\n")
    house.services.aliases["all"] = f":include:{house.people['ann'].home}/lists/secret"
    status, dsn, text = one(house, "all@example.com")
    assert (status, dsn) == ("deferred", "4.3.5")
    assert "belongs to uid" in text and house.services.received == []


HOSTILE_FORWARDS = (
    "/etc/passwd\n",
    "/etc/shadow\n",
    "/dev/sda\n",
    "/dev/full\n",
    "/proc/self/mem\n",
    "/proc/1/environ\n",
    "../../etc/passwd\n",
    ":include:/etc/shadow\n",
    ":include:/proc/self/environ\n",
    ":include:/dev/zero\n",
    '"|exec /bin/false; ' + "x" * 5000 + '"\n',
    '"' * 1001 + "\n",
    "(" * 1001 + "\n",
    "a@b@c@d\n",
    "\0\n",
    "ann\0@far.example\n",
    "<<<>>>\n",
    "@far.example:ann@x\n",
    ",,,,,\n",
    "|\n",
    "\udcff@far.example\n",
    "ann\r\n",
)


@pytest.mark.parametrize("text", HOSTILE_FORWARDS, ids=[repr(text[:30]) for text in HOSTILE_FORWARDS])
def test_no_forward_file_does_more_than_its_user_can(house: House, text: str) -> None:
    passwd = Path("/etc/passwd").read_bytes()
    path = house.people["ann"].home / ".forward"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    os.chown(path, FIRST_UID, FIRST_UID)
    status, _, why = one(house, "ann@example.com")
    assert status in ("sent", "deferred", "bounced")
    assert "local delivery process failed" not in why, "it ended the process"
    assert "root:" not in why, "it came to see a file of the system's"
    assert Path("/etc/passwd").read_bytes() == passwd


def test_a_forward_file_without_end_is_ignored(house: House) -> None:
    path = house.people["ann"].home / ".forward"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    os.chown(path, FIRST_UID, FIRST_UID)
    assert one(house, "ann@example.com")[2] == "delivered to mailbox"


@pytest.mark.parametrize("special", ["fifo", "directory", "socket-link"])
def test_a_forward_file_that_is_no_file_holds_nobody_up(house: House, special: str) -> None:
    path = house.people["ann"].home / ".forward"
    if special == "fifo":
        os.mkfifo(path)
    elif special == "directory":
        path.mkdir()
    else:
        path.symlink_to(house.path / "private" / "lookup")
    os.chown(path, FIRST_UID, FIRST_UID, follow_symlinks=False)
    assert one(house, "ann@example.com")[2] == "delivered to mailbox"


def test_nothing_of_the_suites_environment_reaches_a_command(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "BASH_ENV", "ENV", "IFS", "SECRET"):
        monkeypatch.setenv(name, "/tmp/evil")
    home = house.people["ann"].home
    house.write("ann", ".forward", f'"|env > {home}/env"\n')
    assert one(house, "ann@example.com")[0] == "sent"
    names = {line.partition("=")[0] for line in (home / "env").read_text().splitlines()}
    assert not names & {"LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "BASH_ENV", "ENV", "SECRET"}
    assert "IFS=/tmp/evil" not in (home / "env").read_text()


HOSTILE = "$(touch /tmp/x)`id`;|&<>\"'\\\n\t\r*?[]{}~!#%\u00e9\udcff\x7f"


def test_what_a_sender_says_is_plain_characters_in_every_variable(house: House) -> None:
    home = house.people["ann"].home
    house.options["recipient_delimiter"] = "+"
    house.write("ann", ".forward", f'"|env -0 > {home}/env"\n')
    names = ("client_name", "client_address", "client_helo", "protocol", "sasl_method", "sasl_sender", "sasl_username")
    one(
        house,
        '"ann+$(id);x"@example.com',
        sender='"$(id)`x`"@example.org',
        envid=HOSTILE,
        attributes=dict.fromkeys(names, HOSTILE),
        original=f'"{HOSTILE[:30]}"@example.com',
    )
    variables = dict(entry.split("=", 1) for entry in (home / "env").read_text().split("\0") if "=" in entry)
    given = ("SENDER", "RECIPIENT", "ORIGINAL_RECIPIENT", "EXTENSION", "LOCAL", "DOMAIN", "ENVID", "USER", "LOGNAME")
    for name in (*given, "CLIENT_HELO", "CLIENT_HOSTNAME", "CLIENT_ADDRESS", "SASL_USERNAME", "SASL_SENDER"):
        assert not set(variables[name]) & set("$`;|&<>\"'\\\n\t\r*?[]{}~#\x7f"), (name, variables[name])


def test_a_users_processes_end_with_their_command(house: House) -> None:
    """What a command leaves behind in its process group does not outlive its time limit, and holds up nobody."""
    house.options["command_time_limit"] = "1s"
    home = house.people["ann"].home
    house.write("ann", ".forward", f'"|(sleep 300; touch {home}/late) & sleep 300"\n')
    assert one(house, "ann@example.com")[:2] == ("bounced", "5.3.0")
    deadline = time.monotonic() + 20  # a process that was killed ends when it is its turn
    while survivors := [pid for pid in os.listdir("/proc") if pid.isdigit() and _runs(pid, FIRST_UID, b"sleep")]:
        assert time.monotonic() < deadline, survivors
        time.sleep(0.01)


def _runs(pid: str, uid: int, program: bytes) -> bool:
    try:
        return os.stat(f"/proc/{pid}").st_uid == uid and program in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


class TestAChildThatWasBrokenInto:
    """What the process of a user reports is a user's word."""

    def report(self, monkeypatch: pytest.MonkeyPatch, **members: object) -> None:
        def user(self: object, message: object, command: str = "", **options: object) -> Report:
            return Report(outcomes=[Outcome.sent("so it says")], **members)  # type: ignore[arg-type]

        monkeypatch.setattr(deliverer.Deliverer, "user", user)

    def test_has_nothing_done_with_the_rights_of_others(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        out = house.path / "out"
        out.mkdir()
        out.chmod(0o777)
        self.report(monkeypatch, commands=[f"touch {out}/ran"], files=[f"{out}/file"], table=0)
        assert one(house, "ann@example.com")[2] == "so it says"
        assert list(out.iterdir()) == []

    def test_sends_mail_to_no_agent(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.report(monkeypatch, transport="pipe:x", sender="boss@example.com")
        assert one(house, "ann@example.com")[2] == "so it says"
        assert house.services.received == []

    def test_fills_no_memory(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.report(monkeypatch, forward=["x@far.example"] * 20_000)
        assert one(house, "ann@example.com") == ("deferred", "4.3.0", "local delivery process failed")


@pytest.mark.parametrize("size", [20, SMALL + 1])
def test_a_child_has_nothing_of_the_queue_file(house: House, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Neither can it claim that others have the message, nor unlock it, nor see who they are, nor change it."""
    seen = house.path / "ann" / "seen"

    def user(self: deliverer.Deliverer, message: Message, command: str, **_: object) -> Report:
        said = os.pread(message.fd, 1 << 22, 0)
        for way in (
            lambda: os.write(message.fd, b"changed"),
            lambda: os.write(os.open(f"/proc/self/fd/{message.fd}", os.O_RDWR), b"changed"),
        ):
            with suppress(OSError):
                way()
        unchanged = os.pread(message.fd, 1 << 22, 0) == said
        seen.write_bytes(b"%d %d %d " % (os.getuid(), os.fstat(message.fd).st_nlink, unchanged) + said)
        return Report([Outcome.sent("delivered")])

    monkeypatch.setattr(deliverer.Deliverer, "user", user)
    content = b"x" * (size - 1) + b"\n"
    assert one(house, "ann@example.com", content=content)[0] == "sent"
    assert seen.read_bytes() == b"%d 0 1 " % FIRST_UID + content
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(4):
        assert one(house, "ann@example.com", content=content)[0] == "sent"
    assert len(os.listdir("/proc/self/fd")) < before + 4, "each delivery leaves a descriptor"


def test_a_queue_file_that_is_too_short_makes_mail_wait(house: House) -> None:
    class Short(bytes):
        def __len__(self) -> int:
            return 1000

    status, dsn, text = one(house, "ann@example.com", content=Short(b"x\n"))
    assert (status, dsn) == ("deferred", "4.3.0") and "queue file is shorter" in text
