"""qshape counts and prints as Postfix's does: the same mail in both formats, the same table from both programs."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from pillarbox.commands import qshape
from pillarbox.commands.queue_shape import Buckets, Shape, table
from pillarbox.lib.queue import QueueFile, Recipient
from pillarbox.lib.queue.file import mark_done
from tests.commands.queued import put_message
from tests.peers import peer

Mail = list[tuple[float, str, list[str]]]  # age in seconds, sender, recipients

BIG = "x" * 30 + ".a-domain-with-a-long-name.example.org"


def mail() -> Mail:
    """Mail of several ages to several domains."""
    chance = random.Random(7)
    ages = [60, 400, 800, 1500, 3000, 6000, 12000, 25000, 50000, 100000, 1000000]
    found: Mail = [(60, "", ["a@one.test"]), (400, "b@one.test", [])]
    for count, domain in enumerate(["ab.test", "abc.test", BIG, "sub.x.example.net", "subs.x.example.net"], 2):
        found += [(chance.choice(ages), f"s@{domain}", [f"r{n}@{domain}" for n in range(count)]) for _ in range(count)]
    found += [(60, "s@Upper.TEST", ["R@upper.test", "nodomain", "x@.dots..test."])]
    return found


def postfix_file(path: Path, age: float, sender: str, recipients: list[str]) -> None:
    """A queue file in Postfix's format, as far as qshape reads it."""
    size = b"%15d %15d %15d %15d %15d %15d" % (0, 0, len(recipients), 0, 0, 0)
    records = [(b"C", size), (b"T", b"%d 0" % (time.time() - age)), (b"S", sender.encode())]
    records += [(b"R", each.encode()) for each in recipients]
    records += [(b"M", b""), (b"X", b""), (b"E", b"")]
    path.write_bytes(b"".join(kind + bytes([len(data)]) + data for kind, data in records))
    path.chmod(0o700)


@pytest.fixture
def spools(tmp_path: Path) -> tuple[Path, Path]:
    """The same mail in a queue of ours and in one of Postfix's."""
    ours, theirs = tmp_path / "ours" / "deferred", tmp_path / "theirs" / "deferred"
    for number, (age, sender, recipients) in enumerate(mail()):
        for folder in (ours, theirs):
            folder.mkdir(parents=True, exist_ok=True)
        put_message(
            ours.parent,
            "deferred",
            sender=sender,
            recipients=tuple(map(Recipient, recipients)),
            arrival=time.time() - age,
        )
        postfix_file(theirs / f"ABCDEF{number:04X}", age, sender, recipients)
    return ours, theirs


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-s"],
        ["-p", "-m", "2"],
        ["-p"],
        ["-b", "5"],
        ["-b", "1"],
        ["-l"],
        ["-l", "-b", "20", "-t", "60"],
        ["-t", "30", "-w", "132"],
        ["-w", "40"],
    ],
    ids=" ".join,
)
def test_the_table_is_postfix_own(
    spools: tuple[Path, Path], options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = spools
    expected = peer("postfix").run(["qshape", *options, theirs], check=True).stdout.splitlines()
    assert qshape.main([*options, str(ours)]) == os.EX_OK
    said = capsys.readouterr().out.splitlines()
    # Rows with the same total and length of name come in any order from the original.
    assert (said[:2], sorted(said)) == (expected[:2], sorted(expected))
    totals = [int(line.split()[1]) for line in said[1:]]
    assert totals == sorted(totals, reverse=True)
    assert len(said) > 3


def test_only_the_domains_with_the_most_mail_can_be_shown(
    spools: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    qshape.main([str(spools[0])])
    every = capsys.readouterr().out.splitlines()
    qshape.main(["-n", "3", str(spools[0])])
    assert capsys.readouterr().out.splitlines() == every[:4]


def test_an_empty_queue_has_a_total_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "active").mkdir()
    assert qshape.main([str(tmp_path / "active")]) == os.EX_OK
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [["T", "5"], ["TOTAL", "0"]]


def test_recipients_that_are_done_count_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "active").mkdir()
    recipients = (Recipient("a@one.test"), Recipient("b@two.test"))
    queue_id = put_message(tmp_path, "active", recipients=recipients, arrival=time.time())
    descriptor = os.open(tmp_path / "active" / queue_id, os.O_RDWR)
    mark_done(descriptor, next(QueueFile(descriptor).recipients()).n)
    os.close(descriptor)
    qshape.main([str(tmp_path / "active")])
    said = capsys.readouterr().out
    assert "two.test" in said
    assert "one.test" not in said


@pytest.mark.parametrize(
    ("age", "bucket", "linear"),
    [
        (-5, 1, 1),
        (0, 1, 1),
        (299, 1, 1),
        (300, 2, 2),
        (599, 2, 2),
        (600, 3, 3),
        (1199, 3, 4),
        (1200, 4, 5),
        (9e9, 10, 10),
    ],
)
def test_an_age_has_its_interval(age: float, bucket: int, linear: int) -> None:
    assert (Buckets(10, 300).of(age), Buckets(10, 300, linear=True).of(age)) == (bucket, linear)


def test_control_characters_do_not_reach_the_terminal() -> None:
    shape = Shape(Buckets(10, 300))
    shape.add(0, "", ["a@\x1b[2Jx.test"])
    assert "\x1b" not in "".join(table(shape))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-z"], "invalid option"),
        (["-b", "many"], "needs a number"),
        (["-b"], "requires an argument"),
        (["delayed"], "no queue is called delayed"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert qshape.main(arguments) == os.EX_USAGE
    assert said in capsys.readouterr().err
