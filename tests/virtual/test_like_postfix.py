"""Whose mailbox it is, beside Postfix's virtual(8): the same maps, and the same result for each recipient."""

from __future__ import annotations

import os
import smtplib
from collections.abc import Iterator

import pytest

from pillarbox.lib.clients.lookup import LookupUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.hosted.owners import Owners
from pillarbox.lib.hosted.search import ask
from pillarbox.lib.log import log
from pillarbox.lib.store.failure import DeliveryFailure
from tests.peers.postfix import Postfix

UIDS = {"ann": "20001", "low": "99", "root": "0", "words": "bob", "nogid": "20001", "nogroup": "20001"}
GIDS = {"ann": "20009", "low": "20009", "root": "20009", "words": "20009", "nogroup": "0"}
NAMES = (*UIDS, "nobody")
DOMAIN = "hosted.test"


def table(values: dict[str, str]) -> str:
    return "inline:{ " + ", ".join(f"{name}@{DOMAIN}={value}" for name, value in values.items()) + " }"


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    if os.geteuid() != 0:
        pytest.skip("Postfix needs root")
    boxes = [f"{name}@{DOMAIN}" for name in NAMES]
    maps = {"virtual_uid_maps": table(UIDS), "virtual_gid_maps": table(GIDS), "virtual_minimum_uid": "100"}
    with Postfix(hostname="mx.hosted.test", mailboxes=boxes, parameters=maps) as running:
        (running.directory / "mail").chmod(0o777)
        with smtplib.SMTP(running.address, running.port, timeout=30) as client:
            client.sendmail("carol@example.com", boxes, b"Subject: x\r\n\r\nx\r\n")
        running.wait_for(lambda: len(running.deliveries()) >= len(boxes))
        yield running


class Lookup:
    """The maps."""

    def get(self, parameter: str, key: str) -> str | None:
        name, _, domain = key.partition("@")
        if domain != DOMAIN:
            raise LookupUnavailable("another domain")
        return {"virtual_uid_maps": UIDS, "virtual_gid_maps": GIDS}[parameter].get(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_result_is_postfixs(postfix: Postfix, name: str) -> None:
    address = f"{name}@{DOMAIN}"
    theirs = next(each for each in postfix.deliveries() if each.recipient == address)
    config = Config.for_tests(virtual_uid_maps=table(UIDS), virtual_gid_maps=table(GIDS), vmail_owner="5000:5000")
    with log.capture() as lines:
        try:
            owner = ask(Owners(config).search(address), Lookup())  # type: ignore[arg-type]
        except DeliveryFailure as failure:
            assert (theirs.dsn, theirs.status, theirs.text) == (failure.dsn, "deferred", failure.text)
            said = (postfix.directory / "mail.log").read_text()
            assert lines and all(line in said for line in lines), "the log gives the reason in the same words"
        else:
            assert (theirs.dsn, theirs.status) == ("2.0.0", "sent")
            file = next(path for path in (postfix.directory / "mail").rglob("new/*") if path.stat().st_uid == owner.uid)
            assert file.stat().st_gid == owner.gid
