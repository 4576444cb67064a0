"""`pillarbox queue` says in one screen what waits, for whom, and why."""

from __future__ import annotations

from pillarbox.commands.queue_summary import REMEMBERED, ROWS, summary
from pillarbox.lib.queue.listing import Entry, Waiting

NOW = 1795400000.0
REFUSED = "connect to mx.example.net[192.0.2.1]:25: Connection refused"


def entry(queue: str, age: float, *waiting: Waiting, sender: str = "a@x.test", size: int = 2000) -> Entry:
    return Entry(queue, f"ID{int(age)}", NOW - age, size, sender, False, iter(waiting))


def to(address: str, reason: str = "") -> Waiting:
    return Waiting(address, "", reason)


def test_an_empty_queue() -> None:
    assert list(summary([], NOW)) == ["Mail queue is empty"]


def test_messages_ages_and_reasons() -> None:
    found = [
        entry("active", 60, to("c@example.org")),
        entry("deferred", 187300, to("a@Example.net", REFUSED), to("b@example.net", REFUSED), sender=""),
        entry("hold", 4000, to("d@example.com")),
    ]
    assert list(summary(found, NOW)) == [
        "3 messages for 4 recipients, 6 Kbytes: 1 active, 1 deferred, 1 on hold",
        "the oldest has waited for 2d 4h: ID187300 from MAILER-DAEMON",
        "",
        "recipients  of           why",
        f"         2  example.net  {REFUSED}",
        "         1  example.org  not tried yet",
        "         1  example.com  not tried yet",
    ]


def test_one_is_one() -> None:
    lines = list(summary([entry("incoming", 4000, to("c@example.org"))], NOW))
    assert lines[0] == "1 message for 1 recipient, 2 Kbytes: 1 incoming"
    assert lines[1].startswith("the oldest has waited for 1h 6m: ")


def test_neither_the_screen_nor_memory_grows_with_what_remote_hosts_say() -> None:
    found = (entry("deferred", 60, to("c@example.org", f"said: {number}")) for number in range(REMEMBERED + 100))
    lines = list(summary(found, NOW))
    assert len(lines) == 4 + ROWS + 1
    assert lines[4].split() == ["100", "other", "reasons"]
    assert lines[-1] == f"... and {REMEMBERED + 1 - ROWS} more; mailq lists all"


def test_control_characters_do_not_reach_the_terminal() -> None:
    lines = summary([entry("deferred", 60, to("c@\x1b[2J", "said: \x1b[2J"), sender="\x1b@x")], NOW)
    assert "\x1b" not in "".join(lines)
