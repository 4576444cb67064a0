"""Delivery into hosted mailboxes."""

from __future__ import annotations

import email
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pillarbox.lib.accounts.location import mailbox_directory
from pillarbox.lib.accounts.names import normalize_address
from pillarbox.lib.clients.lookup import LookupUnavailable, RecipientVerdict
from pillarbox.lib.config import Config
from pillarbox.lib.delivery import Content, DeliveryRecipient, DeliveryRequest
from pillarbox.lib.hosted.mailboxes import FOLDERS_BY_ADDRESS, Mailboxes
from pillarbox.lib.hosted.place import UnusableAddress, default_place, mapped_place, split_address
from pillarbox.lib.log import log
from pillarbox.lib.store.maildir.writer import NoSuchFolder
from pillarbox.virtual.delivery import VirtualDelivery
from pillarbox.virtual.filing import Filing, Letter, Outcomes, plain
from tests.virtual.conftest import AT_THE_END


class Lookup:
    """Knows the recipients that a test names."""

    def __init__(self) -> None:
        self.unknown: set[str] = set()
        self.values: dict[str, str] = {}
        self.broken = False

    def recipient(self, address: str) -> RecipientVerdict:
        if self.broken:
            raise LookupUnavailable("the table is broken")
        if address in self.unknown:
            return RecipientVerdict("unknown", "virtual_mailbox", "User unknown", 550, "5.1.1")
        return RecipientVerdict("ok", "virtual_mailbox")

    def get(self, parameter: str, key: str) -> str | None:
        assert parameter == "virtual_mailbox_maps"
        return self.values.get(key)


class Agent:
    def __init__(self, path: Path, **options: str) -> None:
        self.base = path / "mail"
        self.base.mkdir()
        self.path = path
        self.lookup = Lookup()
        config = Config.for_tests(mail_directory=str(self.base), **options)
        self.delivery = VirtualDelivery(config, Mailboxes(config, self.lookup))  # type: ignore[arg-type]
        self._number = 0

    def request(self, *addresses: str, content: bytes = b"Subject: x\n\nbody\n") -> DeliveryRequest:
        self._number += 1
        file = self.path / f"queue{self._number}"
        file.write_bytes(b"head" + content + b"tail")
        fd = os.open(file, os.O_RDONLY)
        AT_THE_END.append(partial(os.close, fd))
        return DeliveryRequest(
            tag=self._number,
            queue_id=f"4jXFYl6dnjz{self._number:04}",
            sender="s@example.org",
            recipients=tuple(DeliveryRecipient(n, address) for n, address in enumerate(addresses)),
            content=Content(fd, 4, len(content)),
            transport="virtual",
            nexthop="example.com",
            arrival=1.0,
            active=2.0,
            taken=3.0,
        )

    def results(self, *requests: DeliveryRequest) -> list[tuple[int, str, str, str]]:
        rows = []
        for _, results, site in self.delivery.deliver(requests):
            assert site == ""
            rows += [(result.n, result.status, result.dsn, result.text) for result in results]
        return rows

    def messages(self, mailbox: str) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.base / mailbox / "new").iterdir())]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


def test_a_message_arrives_with_its_trace_lines(agent: Agent) -> None:
    with log.capture() as lines:
        assert agent.results(agent.request("Ann@Example.com")) == [(0, "sent", "2.0.0", "delivered to maildir")]
    (text,) = agent.messages("example.com/ann")
    trace = b"Return-Path: <s@example.org>\nX-Original-To: Ann@Example.com\nDelivered-To: Ann@Example.com\n"
    assert text == trace + b"Subject: x\n\nbody\n"
    assert any(
        "to=<Ann@Example.com>, relay=virtual" in line and "status=sent (delivered to maildir)" in line for line in lines
    )


def test_a_batch_has_a_result_for_every_recipient(agent: Agent) -> None:
    agent.lookup.unknown.add("no@example.com")
    rows = agent.results(agent.request("a@example.com", "no@example.com"), agent.request("b@example.com"))
    assert rows == [
        (0, "sent", "2.0.0", "delivered to maildir"),
        (1, "bounced", "5.1.1", 'unknown user: "no@example.com"'),
        (0, "sent", "2.0.0", "delivered to maildir"),
    ]
    assert len(agent.messages("example.com/a")) == len(agent.messages("example.com/b")) == 1


def test_an_unanswered_look_up_defers(agent: Agent) -> None:
    agent.lookup.broken = True
    ((_, status, dsn, _),) = agent.results(agent.request("a@example.com"))
    assert (status, dsn) == ("deferred", "4.3.0")


def test_a_message_that_was_here_before_bounces_as_a_loop(agent: Agent) -> None:
    request = agent.request("a@example.com", content=b"X: y\nDelivered-To: A@EXAMPLE.com\n\nbody\n")
    assert agent.results(request) == [(0, "bounced", "5.4.6", "mail forwarding loop for a@example.com")]


def test_delivered_to_in_the_body_is_no_loop(agent: Agent) -> None:
    request = agent.request("a@example.com", content=b"X: y\n\nDelivered-To: a@example.com\n")
    assert agent.results(request)[0][1] == "sent"


def test_an_extension_goes_to_the_user(tmp_path: Path) -> None:
    agent = Agent(tmp_path, recipient_delimiter="+")
    agent.results(agent.request("ann+x@example.com"))
    assert len(agent.messages("example.com/ann")) == 1


@pytest.mark.parametrize(("mode", "there"), [("no", True), ("existing", False)])
def test_an_extension_names_no_folder_unless_it_may(tmp_path: Path, mode: str, there: bool) -> None:
    agent = Agent(tmp_path, recipient_delimiter="+", save_to_detail_mailbox=mode)
    if there:
        (agent.base / "example.com" / "ann" / ".Lists" / "cur").mkdir(parents=True)
    agent.results(agent.request("ann+Lists@example.com"))
    assert len(agent.messages("example.com/ann")) == 1


@pytest.mark.parametrize("mode", ["existing", "create"])
def test_an_extension_may_name_a_folder(tmp_path: Path, mode: str) -> None:
    agent = Agent(tmp_path, recipient_delimiter="+", save_to_detail_mailbox=mode)
    if mode == "existing":
        (agent.base / "example.com" / "ann" / ".Lists.python" / "cur").mkdir(parents=True)
    assert agent.results(agent.request("ann+Lists.python@example.com"))[0][1] == "sent"
    assert len(agent.messages("example.com/ann/.Lists.python")) == 1


@pytest.mark.parametrize("extension", ["..", "a..b", "x.", "inbox"])
def test_an_extension_that_names_no_folder_goes_to_inbox(tmp_path: Path, extension: str) -> None:
    agent = Agent(tmp_path, recipient_delimiter="+", save_to_detail_mailbox="create")
    assert agent.results(agent.request(f'"ann+{extension}"@example.com'))[0][1] == "sent"
    assert len(agent.messages("example.com/ann")) == 1


def test_addresses_alone_make_a_limited_number_of_folders(tmp_path: Path) -> None:
    agent = Agent(tmp_path, recipient_delimiter="+", save_to_detail_mailbox="create")
    for number in range(FOLDERS_BY_ADDRESS + 3):
        agent.results(agent.request(f"ann+f{number}@example.com"))
    assert len(list((agent.base / "example.com" / "ann").glob(".f*"))) == FOLDERS_BY_ADDRESS
    assert len(agent.messages("example.com/ann")) == 3


def test_a_filter_files_a_message_as_often_as_it_wants_and_may_try_again(agent: Agent) -> None:
    def second(letter: Letter, outcomes: Outcomes) -> Filing:
        assert isinstance(outcomes[0], NoSuchFolder) and outcomes[1] is None
        return plain(letter)

    def filing(letter: Letter) -> Filing:
        writes = (letter.into("Gone"), letter.into("Lists", ("\\Seen",), create=True))
        return Filing(writes, lambda outcomes: second(letter, outcomes))

    agent.delivery._filing = filing  # type: ignore[method-assign]
    assert agent.results(agent.request("a@example.com", "b@example.com")) == [
        (n, "sent", "2.0.0", "delivered to maildir") for n in (0, 1)
    ]
    assert len(agent.messages("example.com/a")) == len(agent.messages("example.com/b")) == 1
    assert len(list((agent.base / "example.com/a/.Lists/cur").iterdir())) == 1


def test_a_filter_without_end_defers(agent: Agent) -> None:
    def again(letter: Letter) -> Filing:
        return Filing((), lambda outcomes: again(letter))

    agent.delivery._filing = again  # type: ignore[method-assign]
    ((_, status, dsn, _),) = agent.results(agent.request("a@example.com"))
    assert (status, dsn) == ("deferred", "4.3.0")


def test_a_table_may_name_an_mbox_file(tmp_path: Path) -> None:
    agent = Agent(tmp_path, virtual_mailbox_maps="texthash:/etc/boxes")
    agent.lookup.values["ann@example.com"] = "boxes/ann"
    assert agent.results(agent.request("ann@example.com"))[0][3] == "delivered to mailbox"
    assert (agent.base / "boxes" / "ann").read_text().startswith("From s@example.org  ")


def test_a_short_queue_file_defers_and_leaves_nothing(agent: Agent) -> None:
    request = agent.request("a@example.com", content=b"X: y\n\nbody\n")
    os.truncate(agent.path / "queue1", 8)
    ((_, status, _, _),) = agent.results(request)
    assert status == "deferred"
    assert not list(agent.base.rglob("new/*")) and not list(agent.base.rglob("tmp/*"))


@pytest.mark.parametrize(
    "address", ['"../../etc"@example.com', '"a/b"@example.com', "../x@example.com", '".."@example.com', "/@example.com"]
)
def test_an_address_that_would_leave_the_base_is_refused(agent: Agent, address: str) -> None:
    ((_, status, dsn, _),) = agent.results(agent.request(address))
    assert (status, dsn) == ("bounced", "5.1.3")
    assert list(agent.base.iterdir()) == []


@pytest.mark.parametrize("value", ["", "/", "..", "../x/", "a/../../b", "a/\0b"])
def test_a_table_value_that_would_leave_the_base_is_refused(value: str) -> None:
    with pytest.raises(UnusableAddress):
        mapped_place(value)


@pytest.mark.parametrize(
    "address", ["Ann@Example.COM", '"a b"@example.com', "übung@BÜCHER.example", "x.y@sub.example.com"]
)
def test_delivery_and_access_agree_where_a_mailbox_is(address: str) -> None:
    config = Config.for_tests(mail_directory="/mail")
    place = default_place(*split_address(address, "")[:2])
    assert f"/mail/{place}".rstrip("/") == mailbox_directory(config, normalize_address(address))


@pytest.mark.parametrize("place", ["", "box"])
def test_a_binary_body_becomes_lines_in_a_mailbox(tmp_path: Path, place: str) -> None:
    agent = Agent(tmp_path, **({"virtual_mailbox_maps": "inline:{x=y}"} if place else {}))
    if place:
        agent.lookup.values["bob@x.org"] = place
    octets = bytes(range(256)) + b"\r\n"
    content = b"MIME-Version: 1.0\nContent-Type: x/y\nContent-Transfer-Encoding: binary\n\n" + octets
    request = replace(agent.request("bob@x.org", "eve@x.org", content=content), body="binarymime")
    ((_, results, _),) = agent.delivery.deliver([request])
    assert [result.status for result in results] == ["sent", "sent"]
    stored = [path.read_bytes() for path in agent.base.rglob("*") if path.is_file()]
    messages = [each.partition(b"\n")[2] if each.startswith(b"From ") else each for each in stored]
    assert [email.message_from_bytes(each).get_payload(decode=True) for each in messages if each] == [octets] * 2


def test_a_binary_body_that_may_not_be_changed_comes_back(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    content = b"Content-Type: multipart/signed; boundary=b\n\n--b\r\n\r\n\0\r\n--b--\r\n"
    request = replace(agent.request("bob@x.org", content=content), body="binarymime")
    ((_, (result,), _),) = agent.delivery.deliver([request])
    assert (result.status, result.dsn) == ("bounced", "5.6.3")
