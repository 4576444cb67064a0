"""Warnings about quotas: who is told, how often, and what is no reason for anything else to fail."""

from __future__ import annotations

import email
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.quota import Limits
from pillarbox.lib.log import log
from pillarbox.lib.store.maildir.maildirsize import NAME
from pillarbox.lib.store.quota import Quota
from pillarbox.virtual.warning import TOLD, Warnings


class Cleanup:
    """Keeps what is handed in."""

    def __init__(self) -> None:
        self.mails: list[tuple[Any, bytes]] = []
        self.away = False

    def open(self) -> Any:
        if self.away:
            raise ServiceUnavailable("cleanup is away")
        return New(self)


class New:
    queue_id = "4jXFYl6dnjz1"

    def __init__(self, cleanup: Cleanup) -> None:
        self._cleanup = cleanup
        self._text = b""

    def __enter__(self) -> New:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, envelope: Any) -> None:
        self._envelope = envelope

    def write(self, data: bytes) -> None:
        self._text += data

    def commit(self) -> Any:
        self._cleanup.mails.append((self._envelope, self._text))
        return SimpleNamespace(queue_id=self.queue_id)


class Box:
    def __init__(self, path: Path, levels: str = "80 95", address: str = "ann@example.org") -> None:
        self.path = path
        self.cleanup = Cleanup()
        config = Config.for_tests(quota_warnings=levels, recipient_delimiter="+")
        self.warnings = Warnings(config, self.cleanup, lambda: 1e9)  # type: ignore[arg-type]
        self.letter: Any = SimpleNamespace(
            maildir=str(path),
            quota=Quota(Limits(1000, 100), hosted=True),
            location="",
            recipient=SimpleNamespace(address=address),
            request=SimpleNamespace(queue_id="4jXFYl6dnjz0"),
        )

    def holds(self, size: int, messages: int = 1) -> int:
        """How many warnings were sent when the mailbox holds so much."""
        (self.path / NAME).write_text(f"1000S,100C\n{size} {messages}\n")
        before = len(self.cleanup.mails)
        self.warnings.delivered(self.letter)
        return len(self.cleanup.mails) - before


def test_each_level_is_told_of_once_until_the_usage_was_below_it(tmp_path: Path) -> None:
    box = Box(tmp_path)
    sizes = (100, 799, 800, 900, 949, 950, 1000, 850, 990, 100, 900)
    assert [box.holds(size) for size in sizes] == [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1]
    assert (tmp_path / TOLD).read_text() == "80\n"


def test_messages_count_like_octets(tmp_path: Path) -> None:
    assert Box(tmp_path).holds(1, 95) == 1


def test_the_mail_says_what_and_where(tmp_path: Path) -> None:
    box = Box(tmp_path, address="ann+lists@example.org")
    box.holds(960, 2)
    ((envelope, text),) = box.cleanup.mails
    assert envelope.sender == ""
    assert [(each.address, each.notify) for each in envelope.recipients] == [("ann@example.org", ("never",))]
    message = email.message_from_bytes(text)
    assert message["Subject"] == "Your mailbox is 96% full"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "1 KB in 2 messages\nof at most 0 KB and 100 messages" in str(message.get_payload())


@pytest.mark.parametrize("levels", ["", "100"])
def test_who_wants_none_gets_none(tmp_path: Path, levels: str) -> None:
    assert Box(tmp_path, levels).holds(990) == 0


def test_what_cannot_be_sent_is_sent_with_the_next_delivery(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.cleanup.away = True
    with log.capture() as lines:
        assert box.holds(900) == 0
    assert any("no warning about the quota of ann@example.org: cleanup is away" in line for line in lines)
    box.cleanup.away = False
    assert box.holds(900) == 1


def test_a_link_in_place_of_its_memory_is_not_followed(tmp_path: Path) -> None:
    box = Box(tmp_path)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / TOLD).symlink_to(victim)
    assert box.holds(900) == 0
    assert victim.read_text() == "precious"
