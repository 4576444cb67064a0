"""procmail recipes within local delivery: when they are used, with whose rights, and what becomes of their mistakes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pillarbox.lib.log import log
from tests.local.conftest import FIRST_UID, House

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="users' own rights need root")

MAILDIR = ":0\nfound/\n"


@pytest.fixture
def home(house: House) -> Path:
    house.options["procmailrc_path"] = "$home/.procmailrc"
    return house.people["ann"].home


def deliver(house: House, recipes: str, address: str = "ann@example.com", **more: object) -> tuple[str, str, str]:
    house.write("ann", ".procmailrc", recipes)
    (result,) = house.deliver(address, **more)  # type: ignore[arg-type]
    return result.status, result.dsn, result.text


def spool(house: House) -> str:
    path = house.spool / "ann"
    return path.read_text() if path.exists() else ""


# --- when they are used


def test_recipes_decide_where_mail_goes(house: House, home: Path) -> None:
    status, _, text = deliver(house, ":0\n* ^Subject: hi\nlists/talk\n:0\nfound\n")
    assert (status, text) == ("sent", f"delivered by procmailrc: {home}/.procmailrc: found")
    written = (home / "found").read_text()
    assert written.startswith("From s@example.org  ")
    assert "\nReturn-Path: <s@example.org>\n" in written
    assert "\nDelivered-To: ann@example.com\nSubject: hi\n\nHello\n\n" in written
    assert not spool(house)


def test_they_are_off_by_default(house: House) -> None:
    assert deliver(house, MAILDIR)[2] == "delivered to mailbox"


def test_without_a_file_the_mailbox_is_used(house: House, home: Path) -> None:
    assert house.deliver("ann@example.com")[0].text == "delivered to mailbox"


def test_mailbox_command_comes_first(house: House, home: Path) -> None:
    house.options["mailbox_command"] = f"cat > {home}/taken"
    assert deliver(house, MAILDIR)[2].startswith("delivered to command")
    assert not (home / "found").exists()


def test_a_probe_delivers_nothing(house: House, home: Path) -> None:
    status, _, text = deliver(house, MAILDIR, probe="yes")
    assert (status, text) == ("sent", f"delivers to procmailrc: {home}/.procmailrc")
    assert not (home / "found").exists()


@needs_root
def test_recipes_of_root_are_not_carried_out(house: House, home: Path) -> None:
    house.people["ann"].uid = 0
    deliver(house, MAILDIR)
    assert not (home / "found").exists()


# --- the inbox


def test_what_no_recipe_takes_goes_to_the_inbox(house: House, home: Path) -> None:
    assert deliver(house, ":0\n* ^X-None\nfound/\n")[0] == "sent"
    assert "Subject: hi" in spool(house)


def test_the_inbox_may_be_a_maildir(house: House, home: Path) -> None:
    house.options["home_mailbox"] = "Mail/"
    assert deliver(house, "# nothing\n")[0] == "sent"
    (path,) = (home / "Mail" / "new").iterdir()
    assert path.read_bytes().startswith(b"Return-Path: ")
    assert not spool(house)


# --- mistakes


@pytest.mark.parametrize(
    ("recipes", "line", "expected"),
    [
        (":0\n* ^Subject\n", 1, "an action line for this recipe"),
        (":0\n{\n:0\nx\n", 2, 'a "}" for this "{"'),
        ("A=1\n}\n", 2, 'a "{" before this "}"'),
        ('A="not closed\n', 1, 'a closing "'),
        ("\n\n* ^Subject\nbox\n", 3, '":0", a comment or an assignment'),
        (":0 Q\nbox\n", 1, "one of the flags"),
        (":0\n* (^Subject\nbox\n", 2, '")" for each "("'),
        (":0\n* ^a)\nbox\n", 2, '"(" before ")"'),
        (":0\n* > many\nbox\n", 2, 'a number of bytes after ">"'),
        (":0\n* ?\nbox\n", 2, 'a program after "?"'),
        ("A=${1\n", 1, "} or one of"),
        (":0 AE\nbox\n", 1, "only one of the flags"),
        (":0: a b\nbox\n", 1, "the end of the line"),
    ],
)
def test_a_mistake_falls_to_the_inbox_and_is_named(
    house: House, home: Path, recipes: str, line: int, expected: str
) -> None:
    with log.capture() as lines:
        assert deliver(house, "COPY=`touch $HOME/ran`\n" + recipes)[2] == "delivered to mailbox"
    (warning,) = [each for each in lines if ".procmailrc" in each and "ignored" in each]
    assert f"{home}/.procmailrc:{line + 1}: " in warning
    assert expected in warning
    assert "Subject: hi" in spool(house)
    assert not (home / "ran").exists(), "a file with a mistake is not carried out in part"


def test_a_mistake_in_a_further_file_names_that(house: House, home: Path) -> None:
    house.write("ann", "more", "A=1\n:0 Q\nx\n")
    with log.capture() as lines:
        assert deliver(house, "INCLUDERC=more\n")[2] == "delivered to mailbox"
    assert any("more:2: one of the flags" in each for each in lines)


def test_a_mistake_that_comes_from_a_variable(house: House, home: Path) -> None:
    with log.capture() as lines:
        assert deliver(house, 'A="(x"\n:0\n* $ ^$A\nfound/\n')[2] == "delivered to mailbox"
    assert any('.procmailrc:3: ")" for each "("' in each for each in lines)


def test_a_file_that_includes_itself_ends(house: House, home: Path) -> None:
    with log.capture() as lines:
        assert deliver(house, "INCLUDERC=$HOME/.procmailrc\n")[2] == "delivered to mailbox"
    assert any("files within each other" in each for each in lines)


def test_a_file_that_switches_to_itself_ends(house: House, home: Path) -> None:
    with log.capture() as lines:
        assert deliver(house, "SWITCHRC=$HOME/.procmailrc\n")[2] == "delivered to mailbox"
    assert any("steps" in each for each in lines)


def test_copies_without_end_end(house: House, home: Path) -> None:
    with log.capture() as lines:
        deliver(house, "DEFAULT=/dev/null\n" + ":0 c\n{ }\n" * 12)
    assert any("copies by blocks" in each for each in lines)


def test_a_program_without_an_end_ends(house: House, home: Path) -> None:
    house.options["command_time_limit"] = "1s"
    with log.capture() as lines:
        assert deliver(house, ":0 w\n| sleep 600 & sleep 600\n")[2] == "delivered to mailbox"
    assert any("command_time_limit" in each for each in lines)


def test_what_the_log_file_would_say_is_in_our_log_without_one(house: House, home: Path) -> None:
    with log.capture() as lines:
        deliver(house, ":0 w\n| exit 3;\n")
    assert any("Program failure (3)" in each for each in lines)


# --- files that must not be used


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_may_write_is_not_used(house: House, home: Path, mode: int) -> None:
    house.write("ann", ".procmailrc", MAILDIR, mode=mode)
    with log.capture() as lines:
        assert house.deliver("ann@example.com")[0].text == "delivered to mailbox"
    assert any("others may write it" in each for each in lines)


def test_a_file_in_a_directory_that_others_may_write_is_not_used(house: House, home: Path) -> None:
    home.chmod(0o777)
    with log.capture() as lines:
        assert deliver(house, MAILDIR)[2] == "delivered to mailbox"
    assert any("others may write its directory" in each for each in lines)


@needs_root
def test_a_file_of_another_user_is_not_used(house: House, home: Path) -> None:
    house.write("ann", ".procmailrc", MAILDIR, uid=FIRST_UID + 1)
    with log.capture() as lines:
        assert house.deliver("ann@example.com")[0].text == "delivered to mailbox"
    assert any("belongs to uid" in each for each in lines)


def test_a_pipe_in_place_of_the_file_hangs_nothing(house: House, home: Path) -> None:
    os.mkfifo(home / ".procmailrc")
    assert house.deliver("ann@example.com")[0].text == "delivered to mailbox"


# --- rights


@needs_root
def test_programs_run_as_the_user(house: House, home: Path) -> None:
    deliver(house, ":0\n| id -u > uid; id -G >> uid; cat > /dev/null\n")
    assert set((home / "uid").read_text().split()) == {str(FIRST_UID)}


@needs_root
@pytest.mark.parametrize(
    "recipe", [":0\n{victim}\n", ":0:\n{victim}\n", ":0\n| cat >> {victim}\n", "LOGFILE={victim}\n"]
)
def test_recipes_cannot_write_what_the_user_cannot(house: House, home: Path, recipe: str) -> None:
    victim = house.write("bob", "secret", "bob's\n", mode=0o600)
    deliver(house, recipe.format(victim=victim))
    assert victim.read_text() == "bob's\n"


@needs_root
def test_a_link_that_another_has_made_is_not_followed(house: House, home: Path) -> None:
    shared = house.path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    precious = house.write("ann", "precious", "mine\n")
    link = shared / "folder"
    link.symlink_to(precious)
    os.chown(link, FIRST_UID + 1, -1, follow_symlinks=False)
    deliver(house, f":0\n{link}\n")
    assert precious.read_text() == "mine\n"
    assert "Subject: hi" in spool(house)


@needs_root
def test_a_link_in_place_of_the_inbox_is_not_followed(house: House, home: Path) -> None:
    victim = house.path / "root-owned"
    victim.write_text("precious\n")
    (house.spool / "ann").symlink_to(victim)
    status, dsn, _ = deliver(house, "# all to the inbox\n")
    assert (status, dsn) == ("deferred", "4.2.0")
    assert victim.read_text() == "precious\n"


@needs_root
def test_a_program_holds_no_descriptor_of_the_suite(house: House, home: Path) -> None:
    deliver(house, ":0\n| ls -l /proc/self/fd > fds; cat > /dev/null\n")
    targets = [line.rpartition("-> ")[2] for line in (home / "fds").read_text().splitlines()[1:]]
    assert len(targets) == 4, targets  # standard three and the directory that ls reads


def test_what_an_outsider_says_reaches_programs_filtered(house: House, home: Path) -> None:
    deliver(house, ":0\n| env > env; cat > /dev/null\n", sender='"$(touch x);`id`"@example.org')
    (line,) = [each for each in (home / "env").read_text().splitlines() if each.startswith("SENDER=")]
    assert not set('$();`"') & set(line)


def test_the_extension_is_the_first_argument(house: House, home: Path) -> None:
    house.options["recipient_delimiter"] = "+"
    deliver(house, ":0\n$1/\n", "ann+lists@example.com")
    assert (home / "lists" / "new").is_dir()


def test_the_process_is_as_it_was_for_the_next_message(house: House, home: Path) -> None:
    (home / "sub").mkdir()
    if os.geteuid() == 0:
        os.chown(home / "sub", FIRST_UID, -1)
    house.write("ann", ".procmailrc", "UMASK=022\nMAILDIR=$HOME/sub\nA=1\n:0\n* ! A ?? x\nfound\n")
    house.deliver("ann@example.com", "ann@example.com")
    assert (home / "sub" / "found").read_text().count("Subject: hi") == 2
    house.write("ann", ".procmailrc", ":0\nother\n")
    house.deliver("ann@example.com")
    assert (home / "other").stat().st_mode & 0o777 == 0o600


# --- outcomes


@pytest.mark.parametrize(
    ("code", "status", "dsn"), [(67, "bounced", "5.1.1"), (75, "deferred", "4.3.0"), (77, "bounced", "5.7.0")]
)
def test_an_exit_code_counts_as_that_of_a_command(house: House, home: Path, code: int, status: str, dsn: str) -> None:
    assert deliver(house, f"EXITCODE={code}\n:0\n/dev/null\n")[:2] == (status, dsn)


def test_where_nothing_works_the_mail_waits(house: House, home: Path) -> None:
    status, dsn, _ = deliver(house, "DEFAULT=no/such/\nORGMAIL=no/such/\n")
    assert (status, dsn) == ("deferred", "4.3.0")


def test_a_full_mailbox_is_said_to_be_full(house: House, home: Path) -> None:
    house.options |= {"mailbox_size_limit": "1000", "message_size_limit": "500"}
    content = b"A: b\n\n" + b"x\n" * 100
    assert [deliver(house, "# all to the inbox\n", content=content)[1] for _ in range(3)] == ["2.0.0", "2.0.0", "5.2.2"]


def test_a_delivery_that_fails_leaves_the_folder_as_it_was(house: House, home: Path) -> None:
    house.write("ann", "folder", "before\n" * 100)
    house.options["mailbox_size_limit"] = "1000"
    deliver(house, ":0\nfolder\n", content=b"A: b\n\n" + b"x\n" * 100)
    assert (home / "folder").read_text() == "before\n" * 100


def test_a_binary_body_becomes_lines(house: House, home: Path) -> None:
    content = b"MIME-Version: 1.0\nContent-Transfer-Encoding: binary\nContent-Type: x/y\n\n\0\r\n\xff"
    deliver(house, MAILDIR, content=content, body="binarymime")
    (path,) = (home / "found" / "new").iterdir()
    assert b"base64" in path.read_bytes()


def test_a_large_message_passes_in_pieces(house: House, home: Path) -> None:
    content = b"Subject: large\n\n" + b"0123456789abcde\n" * 200000
    recipes = ":0 c\n* B ?? ^0123\nmbox\n:0 fbw\n| cat\n:0\nfound/\n"
    assert deliver(house, recipes, content=content)[0] == "sent"
    assert (home / "mbox").stat().st_size > len(content)
    (path,) = (home / "found" / "new").iterdir()
    assert content[16:] in path.read_bytes()


# --- sending on


def test_mail_is_sent_on_by_sendmail_path(house: House, home: Path) -> None:
    script = house.write("ann", "sendmail", f'#!/bin/sh\necho "$@" > {home}/args; cat > {home}/sent\n', mode=0o755)
    house.options["sendmail_path"] = str(script)
    assert deliver(house, ":0\n! carol@far.example dave@far.example\n")[0] == "sent"
    assert (home / "args").read_text() == "-oi carol@far.example dave@far.example\n"
    assert (home / "sent").read_text().startswith("Return-Path: ")


def test_a_sendmail_that_fails_loses_nothing(house: House, home: Path) -> None:
    house.options["sendmail_path"] = "/bin/false"
    deliver(house, ":0 w\n! carol@far.example\n")
    assert "Subject: hi" in spool(house)


def test_the_environment_has_nothing_of_the_suites(house: House, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SUITE", "1")
    deliver(house, ":0\n| env > env; cat > /dev/null\n")
    assert "SECRET_OF_THE_SUITE" not in (home / "env").read_text()


@needs_root
def test_the_inbox_in_the_spool_is_locked_by_the_parent(house: House, home: Path) -> None:
    """In a directory where only root may make files the lock file is there all the same, and gone afterwards."""
    recipes = "DEFAULT=$ORGMAIL\nTRAP='ls $ORGMAIL.lock > seen; cat > /dev/null'\n"
    assert deliver(house, recipes)[0] == "sent"
    assert (home / "seen").read_text() == f"{house.spool}/ann.lock\n"
    assert not (house.spool / "ann.lock").exists()


def test_without_sendmail_path_it_is_our_own_command(house: House, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etc = house.path / "etc"
    etc.mkdir()
    (etc / "main.yaml").write_text(f"queue_directory: {house.path}\n")
    maildrop = house.path / "maildrop"
    maildrop.mkdir()
    maildrop.chmod(0o1733)
    monkeypatch.setenv("MAIL_CONFIG", str(etc))
    assert deliver(house, ":0 w\n! carol@far.example\n")[0] == "sent"
    (submission,) = maildrop.iterdir()
    text = submission.read_text()
    assert "\nrecipient carol@far.example\n" in text
    assert "Subject: hi\n\nHello\n" in text
    assert not spool(house)
