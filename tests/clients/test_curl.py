"""curl: each of its mail protocols in clear text, with STARTTLS, and with TLS from the first byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clients.site import Account, Site, body_of, letter, stored
from tests.peers import peer

LOGIN_DENIED = 67  # curl's exit status

# How a service is spoken with, as (scheme, service, options).
IMAP = [("imap", "imap", []), ("imap", "imap", ["--ssl-reqd"]), ("imaps", "imaps", [])]
POP3 = [("pop3", "pop3", []), ("pop3", "pop3", ["--ssl-reqd"]), ("pop3s", "pop3s", [])]
SUBMISSION = [("smtp", "submission", ["--ssl-reqd"]), ("smtps", "submissions", [])]
PLAIN_TEXT, STARTTLS = IMAP[0], IMAP[1]

Way = tuple[str, str, list[str]]


def curl(
    site: Site, way: Way, path: str, *options: str | Path, account: Account | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run curl on a path of a service; line ends are kept as the server sends them."""
    scheme, service, how = way
    user = ["--user", f"{account.address}:{account.password}"] if account else []
    trust: list[str | Path] = ["--cacert", site.trust]
    url = f"{scheme}://127.0.0.1:{site.port(service)}/{path}"
    return peer("curl").run(["curl", "-sS", *trust, *how, *user, *options, url], check=check)


def send(
    site: Site, way: Way, message: bytes, directory: Path, recipient: str, *options: str, **more: object
) -> subprocess.CompletedProcess[str]:
    file = directory / "message"
    file.write_bytes(message)
    account = more.get("account")
    sender = account.address if isinstance(account, Account) else "sender@example.com"
    envelope = ["--mail-from", sender, "--mail-rcpt", recipient, "--upload-file", file]
    return curl(site, way, "client.test", *envelope, *options, **more)  # type: ignore[arg-type]


# SMTP


@pytest.mark.parametrize("options", [[], ["--ssl-reqd"]], ids=["clear", "starttls"])
def test_it_sends_to_the_relay_port(site: Site, account: Account, tmp_path: Path, options: list[str]) -> None:
    send(site, ("smtp", "smtp", options), letter("by curl"), tmp_path, account.address)
    (message,) = account.arrived()
    assert body_of(message) == body_of(letter("by curl"))
    assert (b"with ESMTPS" in message) == bool(options)


@pytest.mark.parametrize("way", SUBMISSION, ids=["starttls", "wrapped"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "*"])
def test_it_submits_with_a_password(site: Site, account: Account, tmp_path: Path, way: Way, mechanism: str) -> None:
    send(site, way, letter("mine"), tmp_path, account.address, "--login-options", f"AUTH={mechanism}", account=account)
    (message,) = account.arrived()
    assert b"with ESMTPSA" in message


def test_a_wrong_password_is_denied(site: Site, account: Account, tmp_path: Path) -> None:
    wrong = Account(site, account.address, "wrong")
    done = send(site, SUBMISSION[1], letter("no"), tmp_path, account.address, account=wrong, check=False)
    assert done.returncode == LOGIN_DENIED


def test_submission_without_a_password_is_refused(site: Site, account: Account, tmp_path: Path) -> None:
    done = send(site, SUBMISSION[1], letter("no"), tmp_path, account.address, check=False)
    assert done.returncode != 0
    assert "RCPT failed: 554" in done.stderr


def test_megabytes_arrive_unchanged(site: Site, account: Account, tmp_path: Path) -> None:
    line = "0123456789" * 7 + "\r\n"
    message = letter("long", body=line * 60_000 + ".\r\n")
    send(site, SUBMISSION[1], message, tmp_path, account.address, account=account)
    assert body_of(account.arrived()[0]) == body_of(message)


@pytest.mark.parametrize("name, known", [("{address}", True), ("nobody@example.org", False)])
def test_it_verifies_an_address(site: Site, account: Account, name: str, known: bool) -> None:
    address = name.format(address=account.address)
    done = curl(site, ("smtp", "smtp", []), "client.test", "--mail-rcpt", address, check=False)
    assert (done.returncode == 0) is known, done.stderr


def test_an_unknown_recipient_among_others_does_not_stop_the_rest(site: Site, account: Account, tmp_path: Path) -> None:
    more = ["--mail-rcpt", "nobody@example.org", "--mail-rcpt-allowfails"]
    send(site, ("smtp", "smtp", []), letter("two"), tmp_path, account.address, *more)
    assert len(account.arrived()) == 1


ODD_PASSWORDS = ['quote"and\\backslash', "%d{}*()", "grün 水", " blanks ", "x" * 200]


@pytest.mark.parametrize("password", ODD_PASSWORDS)
@pytest.mark.parametrize("options", [[], ["--login-options", "AUTH=PLAIN"]], ids=["default", "plain"])
def test_odd_passwords_arrive_by_every_protocol(site: Site, tmp_path: Path, password: str, options: list[str]) -> None:
    account = site.new_account(password)
    send(site, SUBMISSION[1], letter("x"), tmp_path, account.address, *options, account=account)
    for way in (IMAP[2], POP3[2]):
        curl(site, way, "", *options, account=account)


# IMAP


@pytest.mark.parametrize("way", IMAP, ids=["clear", "starttls", "wrapped"])
def test_imap_gives_a_message_as_it_came(site: Site, account: Account, way: Way) -> None:
    account.deliver(letter("one"), letter("two"))
    text = curl(site, way, "INBOX;MAILINDEX=2", account=account).stdout
    assert text.encode("utf-8", "surrogateescape").endswith(letter("two"))


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_imap_logs_in_with(site: Site, account: Account, mechanism: str) -> None:
    done = curl(site, STARTTLS, "", "--login-options", f"AUTH={mechanism}", account=account)
    assert '"/" INBOX' in done.stdout.replace('"INBOX"', "INBOX")


def test_imap_takes_an_initial_response(site: Site, account: Account) -> None:
    done = curl(site, STARTTLS, "", "--sasl-ir", "--login-options", "AUTH=PLAIN", account=account)
    assert "INBOX" in done.stdout


def test_imap_denies_a_wrong_password(site: Site, account: Account) -> None:
    done = curl(site, IMAP[2], "", account=Account(site, account.address, "wrong"), check=False)
    assert done.returncode == LOGIN_DENIED


def test_imap_searches(site: Site, account: Account) -> None:
    account.deliver(letter("apples"), letter("pears"), letter("more apples"))
    assert curl(site, PLAIN_TEXT, "INBOX?SUBJECT%20apples", account=account).stdout.strip() == "* SEARCH 1 3"


def test_imap_takes_an_upload(site: Site, account: Account, tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(letter("kept"))
    curl(site, IMAP[2], "INBOX", "--upload-file", tmp_path / "message", account=account)
    assert account.messages() == [stored(letter("kept"))]


def test_imap_stores_and_expunges(site: Site, account: Account) -> None:
    account.deliver(letter("one"), letter("two"), letter("three"))
    assert curl(site, PLAIN_TEXT, "INBOX", "-X", r"STORE 2 +FLAGS \Flagged", account=account).returncode == 0
    assert account.flags()["two"] == {"\\Flagged"}
    curl(site, PLAIN_TEXT, "INBOX", "-X", r"STORE 1 +FLAGS.SILENT \Deleted", account=account)
    assert curl(site, PLAIN_TEXT, "INBOX", "-X", "EXPUNGE", account=account).stdout.strip() == "* 1 EXPUNGE"
    assert set(account.flags()) == {"two", "three"}


def test_imap_makes_lists_and_deletes_a_mailbox(site: Site, account: Account) -> None:
    curl(site, PLAIN_TEXT, "", "-X", "CREATE Work/2025", account=account)
    assert "Work/2025" in curl(site, PLAIN_TEXT, "", "-X", 'LIST "" "Work/*"', account=account).stdout
    curl(site, PLAIN_TEXT, "", "-X", "DELETE Work/2025", account=account)
    assert "Work/2025" not in curl(site, PLAIN_TEXT, "", account=account).stdout


# POP3


@pytest.mark.parametrize("way", POP3, ids=["clear", "starttls", "wrapped"])
def test_pop3_gives_a_message_as_it_came(site: Site, account: Account, way: Way) -> None:
    account.deliver(letter("one"), letter("two"))
    text = curl(site, way, "2", account=account).stdout
    assert text.encode("utf-8", "surrogateescape").endswith(letter("two"))


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_pop3_logs_in_with(site: Site, account: Account, mechanism: str) -> None:
    account.deliver(letter("one"))
    done = curl(site, POP3[1], "", "--login-options", f"AUTH={mechanism}", account=account)
    assert done.stdout.startswith("1 ")


def test_pop3_denies_a_wrong_password(site: Site, account: Account) -> None:
    done = curl(site, POP3[2], "", account=Account(site, account.address, "wrong"), check=False)
    assert done.returncode == LOGIN_DENIED


def test_pop3_lists_sizes_as_sent(site: Site, account: Account) -> None:
    account.deliver(letter("one"))
    number, size = curl(site, POP3[0], "", account=account).stdout.split()
    text = curl(site, POP3[0], "1", account=account).stdout
    assert (number, int(size)) == ("1", len(text.encode("utf-8", "surrogateescape")))


def test_pop3_gives_the_top_of_a_message(site: Site, account: Account) -> None:
    account.deliver(letter("one"))
    text = curl(site, POP3[0], "", "-X", "TOP 1 2", account=account).stdout
    assert text.endswith("\r\n\r\nHello,\r\n\r\n")


def test_pop3_deletes(site: Site, account: Account) -> None:
    account.deliver(letter("one"), letter("two"))
    curl(site, POP3[0], "1", "-X", "DELE", "-l", account=account)
    assert [b"Subject: two" in message for message in account.messages()] == [True]


def test_pop3_unique_ids_stay(site: Site, account: Account) -> None:
    account.deliver(letter("one"), letter("two"))
    first = curl(site, POP3[0], "", "-X", "UIDL", account=account).stdout
    assert len({line.split()[1] for line in first.splitlines()}) == 2
    assert curl(site, POP3[0], "", "-X", "UIDL", account=account).stdout == first
