"""What others have changed in a message that cleanup holds: milters, by way of smtpd or pickup.

Nothing of it is believed: the files must be memory files that nobody can change any more, the header a header.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from pillarbox.cleanup.header import fields_end
from pillarbox.lib.ipc import ProtocolError
from pillarbox.lib.queue import Envelope, Recipient
from pillarbox.lib.queue.edits import Edits
from pillarbox.lib.system.files import write_all

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def sealed_file(name: str, pieces: Iterable[bytes]) -> int:
    """A memory file with this content, which nobody can change; the descriptor is the caller's.  Raises OSError."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        write_all(descriptor, b"".join(pieces))
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def check_sealed(descriptors: Iterable[int]) -> None:
    """Raises ProtocolError for a file that could still change, or that is none."""
    for descriptor in descriptors:
        try:
            seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        except OSError:
            seals = 0
        if seals & SEALS != SEALS:
            raise ProtocolError("an edit in a file that is not sealed")


def pieces_of(descriptor: int, size: int) -> Iterator[bytes]:
    """The content of a sealed file.  Raises OSError."""
    offset = 0
    while piece := os.pread(descriptor, size, offset):
        yield piece
        offset += len(piece)


def new_header(descriptor: int, limit: int) -> bytes:
    """The header block in a sealed file.  Raises ValueError where it is none."""
    block = os.pread(descriptor, limit + 1, 0)
    if len(block) > limit or fields_end(block) != len(block):
        raise ValueError("the new header is no header, or too long")
    return block


def edited_envelope(
    envelope: Envelope, edits: Edits, expanded: Callable[[tuple[Recipient, ...]], tuple[Recipient, ...]]
) -> Envelope:
    """The envelope with a new sender and recipients added and deleted, in order; `expanded` knows virtual aliases.

    A recipient is deleted by its address, or by the one that the client named and an alias has replaced.
    """
    recipients = list(envelope.recipients)
    for edit in edits.recipients:
        if edit.delete:
            wanted = _key(edit.recipient.address)
            recipients = [one for one in recipients if wanted not in (_key(one.address), _key(one.original))]
        else:
            known = {_key(one.address) for one in recipients if not one.expanded}
            recipients += (one for one in expanded((edit.recipient,)) if _key(one.address) not in known)
    envelope = replace(envelope, recipients=tuple(recipients))
    if edits.sender is not None:
        envelope = replace(
            envelope, sender=edits.sender, ret=edits.ret or envelope.ret, envid=edits.envid or envelope.envid
        )
    return envelope


def _key(address: str) -> str:
    local, at, domain = address.rpartition("@")
    return local + at + domain.lower()
