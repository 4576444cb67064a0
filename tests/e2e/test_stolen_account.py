"""A stolen account in a running instance: its mail is held, people are told, a command lets it go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.wire import ALICE, BOB, HELLO, PASSWORD, client, parsed
from tests.lab.instance import Instance

WATCHER = "watcher@example.org"
SETTINGS = {"smtpd_account_message_limit": "2", "account_notice_recipient": WATCHER}


@pytest.fixture
def mail() -> Iterator[Instance]:
    users = {BOB: PASSWORD, ALICE: PASSWORD, WATCHER: PASSWORD}
    with Instance(users=users, settings=SETTINGS) as instance:
        yield instance


def submit(mail: Instance, number: int) -> None:
    with client(mail, "submission", tls=True, user=BOB) as smtp:
        assert not smtp.sendmail(BOB, [ALICE], HELLO.replace(b"hello", b"message-%d" % number))


def held(mail: Instance) -> int:
    return sum(path.is_file() for path in (mail.root / "spool/hold").iterdir())


def account(mail: Instance, *words: str) -> str:
    return mail.run(["pillarbox", "account", *words], check=True).stdout


def test_from_the_first_message_too_many_to_the_release(mail: Instance) -> None:
    for number in range(4):
        submit(mail, number)  # each gets its 250
    mail.wait_for(lambda: held(mail) == 2)
    mail.wait_for(lambda: len(mail.mailbox(ALICE)) == 2)
    reason = "3 messages within 1 day, 2 are allowed"
    assert mail.log_matching(rf"submission/smtpd\[\d+\]: warning: \w+: hold: mail of {BOB} from .*: {reason}")

    # The owner and the postmaster are told, once.
    for address in (BOB, WATCHER):
        mail.wait_for(lambda address=address: mail.mailbox(address))
        (notice,) = mail.mailbox(address)
        message = parsed(notice)
        assert message["Subject"] == f"The mail of {BOB} is being held"
        assert message["Return-Path"] == "<>"
        assert f"pillarbox account release {BOB}" in notice.decode()

    # Neither a restart of everything nor time takes the brake off.
    mail.kill()
    mail.start()
    submit(mail, 4)
    mail.wait_for(lambda: held(mail) == 3)
    assert account(mail, "list").startswith(f"{BOB}: braked since ")
    assert account(mail, "list").endswith(f": {reason}; 3 messages held\n")

    # One by one, and all that is left.
    first = min(path.name for path in (mail.root / "spool/hold").iterdir())
    mail.run(["postsuper", "-H", first], check=True)
    mail.wait_for(lambda: len(mail.mailbox(ALICE)) == 3)
    assert account(mail, "release", BOB) == f"{BOB} was braked and may send again; 2 held messages let go\n"
    mail.wait_for(lambda: len(mail.mailbox(ALICE)) == 5)
    assert held(mail) == 0
    submit(mail, 5)
    mail.wait_for(lambda: len(mail.mailbox(ALICE)) == 6)
    texts = b"".join(mail.mailbox(ALICE))
    assert all(b"message-%d" % number in texts for number in range(6)), "nothing is lost"
    for address in (BOB, WATCHER):
        assert len(mail.mailbox(address)) == 1
