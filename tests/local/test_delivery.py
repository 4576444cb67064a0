"""Local delivery from the recipient to the mailbox, with real processes and, as root, real uids."""

from __future__ import annotations

import email
import os
import time

import pytest

from pillarbox.lib.delivery import DeliveryRecipient
from pillarbox.lib.log import log
from tests.local.conftest import FIRST_UID, NOBODY_UID, House, needs_root


def one(house: House, address: str, **options: object) -> tuple[str, str, str]:
    (result,) = house.deliver(address, **options)  # type: ignore[arg-type]
    return result.status, result.dsn, result.text


# --- mailboxes


def test_mail_for_a_user_goes_into_the_spool_file(house: House) -> None:
    assert one(house, "ann@example.com") == ("sent", "2.0.0", "delivered to mailbox")
    mailbox = house.spool / "ann"
    assert mailbox.read_text().startswith("From s@example.org  ")
    assert (
        "Return-Path: <s@example.org>\nX-Original-To: ann@example.com\nDelivered-To: ann@example.com\n"
        "Subject: hi\n\nHello\n\n"
    ) in mailbox.read_text()
    assert mailbox.stat().st_mode & 0o777 == 0o600


@needs_root
def test_the_mailbox_belongs_to_the_user(house: House) -> None:
    house.deliver("ann@example.com")
    assert (house.spool / "ann").stat().st_uid == FIRST_UID


def test_home_mailbox_may_be_a_maildir(house: House) -> None:
    house.options["home_mailbox"] = "Maildir/"
    assert one(house, "ann@example.com") == ("sent", "2.0.0", "delivered to maildir")
    (message,) = (house.people["ann"].home / "Maildir" / "new").iterdir()
    assert message.read_text().endswith("Hello\n")
    assert message.stat().st_uid == house.people["ann"].uid


def test_an_unknown_user_bounces(house: House) -> None:
    assert one(house, "nobody-here@example.com") == ("bounced", "5.1.1", 'unknown user: "nobody-here"')


def test_a_message_that_was_here_before_bounces_as_a_loop(house: House) -> None:
    text = b"Delivered-To: Ann@example.com\nSubject: x\n\nbody\n"
    assert one(house, "ann@example.com", content=text) == (
        "bounced",
        "5.4.6",
        "mail forwarding loop for ann@example.com",
    )


def test_a_broken_lookup_defers(house: House) -> None:
    house.services.broken = True
    status, dsn, _ = one(house, "ann@example.com")
    assert (status, dsn) == ("deferred", "4.3.0")


def test_an_extension_is_left_out_of_the_user_name(house: House) -> None:
    house.options["recipient_delimiter"] = "+"
    assert one(house, "ann+folder@example.com")[0] == "sent"
    assert (house.spool / "ann").exists()


def test_luser_relay_gets_mail_for_unknown_users(house: House) -> None:
    house.options["luser_relay"] = "$user@elsewhere.example"
    status, _, text = one(house, "who@example.com")
    assert status == "sent" and text.startswith("forwarded as ")
    assert house.services.received[0][0]["recipients"] == ["who@elsewhere.example"]


# --- aliases


def test_an_alias_sends_the_message_on_as_a_new_one(house: House) -> None:
    house.services.aliases["staff"] = "bob, carol@far.example"
    status, _, text = one(house, "staff@example.com")
    assert status == "sent" and text.startswith("forwarded as ")
    envelope, content = house.services.received[0]
    assert envelope["recipients"] == ["bob@example.com", "carol@far.example"]
    assert envelope["sender"] == "s@example.org"
    assert content.startswith(b"Received: by mx.example.com ")
    assert b"Delivered-To: staff@example.com\nSubject: hi\n\nHello\n" in content


def test_an_owner_alias_becomes_the_sender(house: House) -> None:
    house.services.aliases.update({"list": "bob", "owner-list": "ann"})
    one(house, "list@example.com")
    assert house.services.received[0][0]["sender"] == "owner-list@example.com"


def test_a_bounce_keeps_its_null_sender_through_an_owner_alias(house: House) -> None:
    house.services.aliases.update({"list": "bob", "owner-list": "ann"})
    one(house, "list@example.com", sender="")
    assert house.services.received[0][0]["sender"] == ""


def test_an_alias_that_lists_itself_delivers_to_the_user_too(house: House) -> None:
    house.services.aliases["ann"] = "ann, copy@far.example"
    one(house, "ann@example.com")
    assert (house.spool / "ann").exists()
    assert house.services.received[0][0]["recipients"] == ["copy@far.example"]


def test_an_alias_to_a_file_is_written_by_default_privs(house: House) -> None:
    target = house.path / "archive"
    target.mkdir(mode=0o777)
    target.chmod(0o777)
    house.services.aliases["archive"] = f"{target}/box"
    assert one(house, "archive@example.com") == ("sent", "2.0.0", f"delivered to file: {target}/box")
    assert (target / "box").stat().st_uid == (NOBODY_UID if os.geteuid() == 0 else os.geteuid())


def test_an_alias_to_dev_null_is_delivered(house: House) -> None:
    house.services.aliases["devnull"] = "/dev/null"
    assert one(house, "devnull@example.com")[2] == "delivered to file: /dev/null"


def test_an_alias_to_a_command_runs_it(house: House) -> None:
    target = house.path / "out"
    target.mkdir()
    target.chmod(0o777)
    house.services.aliases["run"] = f'"|cat > {target}/got; id -u >> {target}/got"'
    assert one(house, "run@example.com")[0] == "sent"
    text = (target / "got").read_text()
    assert "Delivered-To: run@example.com\n" in text
    assert text.splitlines()[-1] == str(NOBODY_UID if os.geteuid() == 0 else os.geteuid())


def test_a_failing_command_bounces_with_its_status(house: House) -> None:
    house.services.aliases["fail"] = "|/bin/false"
    assert one(house, "fail@example.com") == ("bounced", "5.3.0", 'Command died with status 1: "/bin/false"')


def test_an_alias_with_a_syntax_error_waits(house: House) -> None:
    house.services.aliases["bad"] = '"not closed'
    with log.capture() as lines:
        status, dsn, text = one(house, "bad@example.com")
    assert (status, dsn) == ("deferred", "4.3.5")
    assert 'alias "bad"' in text
    assert any('alias "bad"' in line for line in lines)


def test_an_include_file_is_expanded(house: House) -> None:
    path = house.write("ann", "list", "# members\nbob, carol@far.example\n\ndave@far.example\n")
    house.services.aliases["members"] = f":include:{path}"
    assert one(house, "members@example.com")[0] == "sent"
    assert house.services.received[0][0]["recipients"] == ["bob@example.com", "carol@far.example", "dave@far.example"]


def test_commands_in_an_include_file_are_restricted(house: House) -> None:
    path = house.write("ann", "list", f"|touch {house.path}/ran\n")
    house.services.aliases["members"] = f":include:{path}"
    assert one(house, "members@example.com") == ("bounced", "5.7.1", "mail to command is restricted")
    assert not (house.path / "ran").exists()


def test_an_include_file_that_everybody_may_write_waits(house: House) -> None:
    path = house.write("ann", "list", "bob\n", mode=0o666)
    house.services.aliases["members"] = f":include:{path}"
    assert one(house, "members@example.com")[1] == "4.3.5"
    assert house.services.received == []


def test_include_files_in_a_ring_end(house: House) -> None:
    path = house.people["ann"].home / "ring"
    house.write("ann", "ring", f":include:{path}\nbob\n")
    house.services.aliases["ring"] = f":include:{path}"
    assert one(house, "ring@example.com")[0] == "sent"
    assert house.services.received[0][0]["recipients"] == ["bob@example.com"]


# --- .forward


def test_a_forward_file_sends_mail_on(house: House) -> None:
    house.write("ann", ".forward", "ann@far.example\n")
    assert one(house, "ann@example.com")[2].startswith("forwarded as ")
    assert house.services.received[0][0]["recipients"] == ["ann@far.example"]
    assert not (house.spool / "ann").exists() or (house.spool / "ann").stat().st_size == 0


def test_a_user_in_the_own_forward_file_gets_the_mailbox(house: House) -> None:
    house.write("ann", ".forward", "\\ann, ann@far.example\n")
    one(house, "ann@example.com")
    assert (house.spool / "ann").stat().st_size > 0
    assert house.services.received[0][0]["recipients"] == ["ann@far.example"]


def test_an_empty_forward_file_means_no_forwarding(house: House) -> None:
    house.write("ann", ".forward", "\n# nothing\n")
    assert one(house, "ann@example.com")[2] == "delivered to mailbox"


def test_the_extension_chooses_the_forward_file(house: House) -> None:
    house.options["recipient_delimiter"] = "+"
    house.write("ann", ".forward+work", "work@far.example\n")
    house.write("ann", ".forward", "other@far.example\n")
    house.deliver("ann+work@example.com", "ann@example.com")
    assert [envelope["recipients"] for envelope, _ in house.services.received] == [
        ["work@far.example"],
        ["other@far.example"],
    ]


@pytest.mark.parametrize("mode", [0o666, 0o602])
def test_a_forward_file_that_everybody_may_write_is_ignored(house: House, mode: int) -> None:
    house.write("ann", ".forward", "evil@far.example\n", mode=mode)
    with log.capture() as lines:
        assert one(house, "ann@example.com")[2] == "delivered to mailbox"
    assert any("everybody may write it" in line for line in lines)


@needs_root
def test_a_forward_file_of_another_user_is_ignored(house: House) -> None:
    house.write("ann", ".forward", "evil@far.example\n", uid=FIRST_UID + 1)
    assert one(house, "ann@example.com")[2] == "delivered to mailbox"


def test_a_forward_file_that_is_a_link_is_ignored(house: House) -> None:
    target = house.write("ann", "real", "evil@far.example\n")
    (house.people["ann"].home / ".forward").symlink_to(target)
    assert one(house, "ann@example.com")[2] == "delivered to mailbox"


def test_a_syntax_error_in_a_forward_file_falls_to_the_mailbox(house: House) -> None:
    house.write("ann", ".forward", '"not closed\n')
    with log.capture() as lines:
        assert one(house, "ann@example.com")[2] == "delivered to mailbox"
    assert any(".forward" in line for line in lines)


def test_a_command_in_a_forward_file_runs_as_the_user(house: House) -> None:
    home = house.people["ann"].home
    house.write("ann", ".forward", f'"|id -u > {home}/uid; id -G >> {home}/uid; env > {home}/env; cat > {home}/mail"\n')
    assert one(house, "ann@example.com")[0] == "sent"
    assert (home / "uid").read_text().split()[0] == str(house.people["ann"].uid)
    if os.geteuid() == 0:
        assert (home / "uid").read_text().split()[1:] == [str(house.people["ann"].uid)]
    environment = dict(line.split("=", 1) for line in (home / "env").read_text().splitlines() if "=" in line)
    assert environment["LOGNAME"] == "ann"
    assert environment["RECIPIENT"] == "ann@example.com"
    assert environment["SENDER"] == "s@example.org"
    assert "PYTHONPATH" not in environment
    assert (home / "mail").read_text().startswith("From s@example.org  ")


def test_what_an_outsider_says_reaches_a_command_filtered(house: House) -> None:
    home = house.people["ann"].home
    house.write("ann", ".forward", f'"|env > {home}/env"\n')
    one(house, "ann@example.com", sender='"$(touch x);`id`"@example.org')
    text = (home / "env").read_text()
    assert "SENDER=" in text
    assert not set('$();`"') & set(next(line for line in text.splitlines() if line.startswith("SENDER=")))


# --- commands


def test_mailbox_command_takes_the_mail(house: House) -> None:
    home = house.people["ann"].home
    house.options["mailbox_command"] = f'cat > {home}/taken-"$EXTENSION"'
    house.options["recipient_delimiter"] = "+"
    status, _, text = one(house, "ann+x@example.com")
    assert (status, text) == ("sent", f"delivered to command: {house.options['mailbox_command']}")
    assert (home / "taken-x").exists()


def test_a_command_over_its_time_is_killed_with_its_children(house: House) -> None:
    house.options["command_time_limit"] = "1s"
    house.services.aliases["slow"] = "|sleep 600 & sleep 600"
    began = time.monotonic()
    assert one(house, "slow@example.com")[2] == 'Command time limit exceeded: "sleep 600 & sleep 600"'
    assert time.monotonic() - began < 60


# --- rights


@needs_root
def test_a_user_cannot_make_delivery_write_into_another_users_file(house: House) -> None:
    victim = house.write("bob", "secret", "bob's\n", mode=0o600)
    house.write("ann", ".forward", f"{victim}\n")
    status, _, _ = one(house, "ann@example.com")
    assert status == "deferred"
    assert victim.read_text() == "bob's\n"


@needs_root
@pytest.mark.parametrize("make", ["symlink_to", "hardlink_to"])
def test_a_link_in_place_of_the_mailbox_is_not_followed(house: House, make: str) -> None:
    victim = house.path / "root-owned"
    victim.write_text("precious\n")
    getattr(house.spool / "ann", make)(victim)
    status, dsn, _ = one(house, "ann@example.com")
    assert (status, dsn) == ("deferred", "4.2.0")
    assert victim.read_text() == "precious\n"


@needs_root
def test_a_mailbox_of_another_user_is_not_written(house: House) -> None:
    (house.spool / "ann").write_text("")
    (house.spool / "ann").chmod(0o666)
    os.chown(house.spool / "ann", FIRST_UID + 1, -1)
    assert one(house, "ann@example.com")[1] == "4.2.0"


@needs_root
def test_a_users_process_holds_no_descriptor_of_the_suite(house: House) -> None:
    home = house.people["ann"].home
    house.write("ann", ".forward", f'"|ls -l /proc/self/fd > {home}/fds"\n')
    one(house, "ann@example.com")
    targets = [line.rpartition("-> ")[2] for line in (home / "fds").read_text().splitlines()[1:]]
    assert len(targets) == 4, targets  # standard three and the directory that ls reads


OCTETS = bytes(range(256)) + b"\r\n"
BINARY = b"MIME-Version: 1.0\nContent-Type: x/y\nContent-Transfer-Encoding: binary\n\n" + OCTETS


@pytest.mark.parametrize("mailbox", ["", "Maildir/"])
def test_a_binary_body_becomes_lines_in_a_mailbox(house: House, mailbox: str) -> None:
    house.options["home_mailbox"] = mailbox
    (result,) = house.deliver("ann@example.com", content=BINARY, body="binarymime")
    assert result.status == "sent"
    if mailbox:
        (path,) = (house.people["ann"].home / "Maildir" / "new").iterdir()
        stored = path.read_bytes()
    else:
        stored = (house.spool / "ann").read_bytes().partition(b"\n")[2]
    assert email.message_from_bytes(stored).get_payload(decode=True) == OCTETS


def test_what_is_sent_on_keeps_its_conditions(house: House) -> None:
    house.services.aliases["staff"] = "carol@far.example"
    house.deliver("staff@example.com", content=BINARY, body="binarymime", requiretls=True, smtputf8=True)
    envelope, content = house.services.received[0]
    assert (envelope["body"], envelope["requiretls"], envelope["smtputf8"]) == ("8bitmime", True, True)
    assert email.message_from_bytes(content).get_payload(decode=True) == OCTETS
    house.deliver("staff@example.com", content=b"A: b\n\n\xe4\n", body="8bitmime")
    assert house.services.received[1][0]["body"] == "8bitmime"


class TestReports:
    """RFC 3461 section 5.2.7."""

    def send(self, house: House, alias: str, *notify: str) -> tuple[str, list[list[str]]]:
        house.services.aliases["staff"] = alias
        recipient = DeliveryRecipient(0, "staff@example.com", orcpt="rfc822;Staff@example.com", notify=notify)
        (result,) = house.deliver("staff@example.com", recipients=(recipient,), ret="hdrs", deliver_by="9999999999;N")
        assert result.status == "sent"
        for envelope, _ in house.services.received:
            assert envelope["orcpts"] == ["rfc822;Staff@example.com"] * len(envelope["recipients"])  # type: ignore[arg-type]
            assert (envelope["ret"], envelope["deliver_by"]) == ("hdrs", "9999999999;N")
        return result.handed, [list(each) for envelope, _ in house.services.received for each in envelope["notify"]]  # type: ignore[attr-defined]

    def test_one_address_for_another_keeps_its_reports(self, house: House) -> None:
        assert self.send(house, "carol@far.example", "success", "delay") == ("entrusted", [["success", "delay"]])

    def test_an_expansion_is_reported_here_and_no_success_further_on(self, house: House) -> None:
        handed, notify = self.send(house, "carol@far.example, dan@far.example", "success", "delay")
        assert handed == "expanded"
        assert notify == [["delay"], ["delay"]]

    def test_who_asked_for_success_only_hears_of_nothing_else(self, house: House) -> None:
        assert self.send(house, "c@far.example, d@far.example", "success")[1] == [["never"], ["never"]]

    def test_a_mailbox_beside_makes_it_an_expansion(self, house: House) -> None:
        house.services.aliases["ann"] = "ann, copy@far.example"
        recipient = DeliveryRecipient(0, "ann@example.com", notify=("success",))
        (result,) = house.deliver("ann@example.com", recipients=(recipient,))
        assert result.handed == "expanded"

    def test_a_list_takes_the_reports_over(self, house: House) -> None:
        house.services.aliases.update({"list": "carol@far.example", "owner-list": "ann"})
        recipient = DeliveryRecipient(0, "list@example.com", orcpt="rfc822;x@y", notify=("success",))
        (result,) = house.deliver("list@example.com", recipients=(recipient,), ret="full", envid="e")
        assert result.handed == "", "for the sender it is delivered"
        envelope, _ = house.services.received[0]
        assert (envelope["notify"], envelope["orcpts"], envelope["ret"], envelope["envid"]) == ([()], [""], "", "")


def test_a_command_writes_no_larger_file_than_mailbox_size_limit(house: House) -> None:
    house.options |= {"mailbox_size_limit": "100000", "message_size_limit": "50000"}
    house.write("ann", ".forward", '"|head -c 90000 /dev/zero > $HOME/small"\n')
    house.write("bob", ".forward", '"|exec head -c 110000 /dev/zero > $HOME/large"\n')
    assert one(house, "ann@example.com")[0] == "sent"
    status, dsn, text = one(house, "bob@example.com")
    assert (status, dsn) == ("deferred", "4.3.0")
    assert "died with signal 25" in text
    assert (house.people["ann"].home / "small").stat().st_size == 90_000
    assert (house.people["bob"].home / "large").stat().st_size == 100_000
