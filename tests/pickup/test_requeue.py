"""What postsuper -r has put into maildrop/ goes through cleanup again: with a new id, and nothing is lost."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from pillarbox.lib.clients.cleanup import Rejected
from pillarbox.lib.queue import QueueFile, Recipient
from pillarbox.lib.queue.file import mark_done
from tests.commands.queued import put_message
from tests.pickup.test_collector import Post, post

__all__ = ["post"]

CONTENT = b"Subject: x\n\nbody\n"
RECIPIENTS = (Recipient("b@y.test", notify=("never",)), Recipient("c@y.test", original="list@y.test"))


def requeued(post: Post) -> Path:
    return post.maildrop / put_message(post.spool, "maildrop", CONTENT, recipients=RECIPIENTS)


def test_it_becomes_a_message_with_the_old_envelope(post: Post) -> None:
    old = requeued(post)
    assert post.collector.collect() == 1
    ((envelope, data),) = post.cleanup.taken
    assert (envelope.sender, envelope.recipients, envelope.arrival) == ("a@x.test", RECIPIENTS, 1795319643.0)
    assert data.startswith(f"Received: by mx.test (Pillarbox, from userid {os.getuid()})\n\tid NEW1; ".encode())
    assert data.endswith(CONTENT)
    assert post.left() == []
    assert post.bounce.forgotten == [old.name]
    assert post.lines == [f"NEW1: uid={os.getuid()} from=<a@x.test> orig_id={old.name}"]


def test_recipients_that_are_done_do_not_go_along(post: Post) -> None:
    descriptor = os.open(requeued(post), os.O_RDWR)
    mark_done(descriptor, next(QueueFile(descriptor).recipients()).n)
    os.close(descriptor)
    post.collector.collect()
    assert [each.address for each in post.cleanup.taken[0][0].recipients] == ["c@y.test"]


def test_a_message_without_recipients_left_goes(post: Post) -> None:
    descriptor = os.open(requeued(post), os.O_RDWR)
    for stored in list(QueueFile(descriptor).recipients()):
        mark_done(descriptor, stored.n)
    os.close(descriptor)
    assert post.collector.collect() == 0
    assert (post.cleanup.taken, post.left()) == ([], [])


def test_what_an_agent_still_delivers_waits(post: Post) -> None:
    old = requeued(post)
    descriptor = os.open(old, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert post.collector.collect() == 0
    assert post.left() == [old.name]
    os.close(descriptor)
    assert post.collector.collect() == 1


@pytest.mark.parametrize("code", [451, 554])
def test_what_cleanup_refuses_stays(post: Post, code: int) -> None:
    old = requeued(post)
    post.cleanup.failures = [Rejected(code, "4.3.0", "no")]
    assert post.collector.collect() == 0
    assert post.left() == [old.name]
    assert (post.bounce.appended, post.bounce.flushed, post.bounce.forgotten) == ([], [], [])


def test_a_file_that_is_cut_is_set_aside(post: Post) -> None:
    old = requeued(post)
    os.truncate(old, 100)
    assert post.collector.collect() == 0
    assert post.left() == []
    assert (post.spool / "corrupt" / f"maildrop-{old.name}").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root")
def test_a_queue_file_of_anybody_else_is_none(post: Post) -> None:
    os.chown(requeued(post), 61234, 61234)
    assert post.collector.collect() == 0
    assert (post.cleanup.taken, post.left()) == ([], [])
