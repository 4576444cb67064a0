"""What a filter sends, on its way from a user's process: nothing that it says is believed beyond its bounds."""

from __future__ import annotations

import os
import socket

import pytest

from pillarbox.lib.ipc import Attributes, Channel, ProtocolError
from pillarbox.lib.sieve_box.plan import Outgoing
from pillarbox.local.mails import HEAD_LIMIT, MOST_RECIPIENTS, read_mail, send_mail, taken_mail


def passed(outgoing: Outgoing) -> Outgoing:
    """A mail that has gone all the way."""
    ours, theirs = (Channel(each) for each in socket.socketpair())
    send_mail(ours, outgoing)
    frame = theirs.receive()
    assert frame.boolean("more")
    mail = taken_mail(frame)
    try:
        descriptors = [mail.descriptor] if mail.descriptor >= 0 else []
        return read_mail(Attributes(mail.members), descriptors)
    finally:
        mail.close()


@pytest.mark.parametrize(
    "outgoing",
    [
        Outgoing("", ("a@b.org",), b"Subject: x\n\nbody\n"),
        Outgoing("s@x.org", ("a@b.org",), b"Subject: x\n", with_body=True),
        Outgoing("s@x.org", ("a@b.org", "c@d.org"), None, with_body=True),
        Outgoing("", ("a@b.org",), b"x" * 1_000_000),
    ],
)
def test_a_mail_arrives_as_it_was(outgoing: Outgoing) -> None:
    assert passed(outgoing) == outgoing


@pytest.mark.parametrize(
    "outgoing",
    [
        Outgoing("", (), b"x"),
        Outgoing("", tuple(f"a{number}@b.org" for number in range(MOST_RECIPIENTS + 1)), b"x"),
        Outgoing("", ("a@b.org",), None),
        Outgoing("", ("a@b.org",), b"x" * (HEAD_LIMIT + 1)),
    ],
)
def test_one_beyond_the_bounds_is_refused(outgoing: Outgoing) -> None:
    with pytest.raises(ProtocolError):
        passed(outgoing)


@pytest.mark.parametrize(
    "members", [{}, {"mail": 1}, {"mail": {}}, {"mail": {"sender": "", "recipients": "a", "with_body": False}}]
)
def test_what_is_no_mail_is_refused_and_its_descriptors_closed(members: dict[str, object]) -> None:
    ours, theirs = (Channel(each) for each in socket.socketpair())
    before = os.listdir("/proc/self/fd")
    descriptor = os.memfd_create("x")
    ours.send({**members, "more": True}, [descriptor])
    os.close(descriptor)
    with pytest.raises(ProtocolError):
        taken_mail(theirs.receive())
    assert len(os.listdir("/proc/self/fd")) <= len(before)


def test_two_descriptors_are_one_too_many() -> None:
    ours, theirs = (Channel(each) for each in socket.socketpair())
    mail = {"sender": "", "recipients": ["a@b.org"], "with_body": False}
    ours.send({"mail": mail, "more": True}, [0, 0])
    with pytest.raises(ProtocolError):
        taken_mail(theirs.receive())
