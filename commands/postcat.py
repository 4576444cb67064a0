"""postcat - show queue files

    postcat [-c DIR] [-bdefhnoqrv] [-s OFFSET] file ...

Shows queue files in readable form; with -q the arguments are queue ids, looked for in all directories of the queue.
-e the envelope, -h the header, -b the body (all three by default); -o puts the offset before each record, -d its type
as a number, -f the file name; -r and -n are accepted; -s begins at an offset.  With only -b and -h there are no `***`
lines.

Exit status: 0, or 1 where a file cannot be shown; 64 wrong use, 78 configuration.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pillarbox.commands import options
from pillarbox.lib.config import ConfigError, config_directory, load
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.delivery import Content
from pillarbox.lib.message.date import format_asctime
from pillarbox.lib.queue import QUEUES, CorruptQueueFile, Envelope, Queue, QueueFile, StoredRecipient, find, is_queue_id
from pillarbox.lib.queue.directories import MAILDROP
from pillarbox.lib.queue.maildrop import BadSubmission, read_submission

PROGRAM = "postcat"
USAGE = (
    "postcat [-b (body text)] [-c config_dir] [-e (envelope)] [-h (header)] [-q (id)] [-dfnorv] [-s offset] [file ...]"
)

# The letters that records have in a Postfix queue file, for -d and for eyes that know them.
_TIME, _SENDER, _ATTRIBUTE, _FULL_NAME, _ORIGINAL, _TODO, _DONE, _SIZE, _LINE = "TSAFORDCN"
_SWITCHES = {"d": "types", "f": "names", "o": "offsets", "q": "by_id"}


class Refused(Exception):
    """The command ends: the sentence, and the exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class Request:
    """The command line."""

    directory: str | None = None
    parts: set[str] = field(default_factory=set)
    by_id: bool = False
    offsets: bool = False
    types: bool = False
    names: bool = False
    start: int = 0
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of output: where it begins in the file, its type letter, its text."""

    offset: int
    kind: str
    text: bytes


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; `argv` without the program's name."""
    try:
        request = parse(sys.argv[1:] if argv is None else argv)
        for path, label in _paths(request):
            _show(request, path, label)
        sys.stdout.flush()
    except Refused as error:
        print(f"{PROGRAM}: fatal: {error}", file=sys.stderr)
        return error.status
    except ConfigError as error:
        print(f"{PROGRAM}: fatal: {error}", file=sys.stderr)
        return os.EX_CONFIG
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def parse(argv: Sequence[str]) -> Request:
    """Read the command line.  Raises Refused."""
    request = Request()
    try:
        found, request.files = options.parse(argv, "bc:defhnoqrs:v")
    except options.BadOption as error:
        raise Refused(f"{error}; usage: {USAGE}", os.EX_USAGE) from None
    for letter, value in found:
        if letter == "c":
            request.directory = value
        elif letter == "s":
            if not (value.isascii() and value.isdigit()):
                raise Refused(f"option -s needs a number, not {value!r}", os.EX_USAGE)
            request.start = int(value)
        elif letter in "beh":
            request.parts.add(letter)
        elif letter in _SWITCHES:
            setattr(request, _SWITCHES[letter], True)
    request.parts = request.parts or set("beh")
    if not request.files:
        raise Refused("a file name, or -q and a queue id, was expected", os.EX_USAGE)
    return request


def _paths(request: Request) -> Iterator[tuple[str, str]]:
    """The files to show, each with the name that it is shown under: in the queue that is `deferred/ID`."""
    if not request.by_id:
        yield from zip(request.files, request.files, strict=True)
        return
    queue = Queue(load(config_directory(request.directory))[QUEUE_DIRECTORY])
    for queue_id in request.files:
        if not is_queue_id(queue_id):
            raise Refused(f"bad mail queue id: {queue_id}")
        name = find(queue, queue_id, QUEUES)
        if name is None:
            raise Refused(f"open queue file {queue_id}: No such file or directory")
        yield queue.path(name, queue_id), f"{name}/{queue_id}"


def _show(request: Request, path: str, label: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"open queue file {path}: {error.strerror}") from None
    try:
        if os.path.basename(os.path.dirname(os.path.abspath(path))) == MAILDROP:
            envelope, content = _submission_records(descriptor)
        else:
            file = QueueFile(descriptor)
            envelope, content = _envelope_records(file), Content(descriptor, file.offset, file.length)
        _print(request, label, envelope, content)
    except (CorruptQueueFile, BadSubmission, EOFError) as error:
        raise Refused(f"{path}: {error}") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _print(request: Request, path: str, envelope: Iterator[Record], content: Content) -> None:
    marked = "e" in request.parts
    out = sys.stdout.buffer
    if marked:
        out.write(f"*** ENVELOPE RECORDS {path} ***\n".encode())
        for record in envelope:
            _record(request, path, record)
    if request.parts & set("bh"):
        if marked:
            out.write(f"*** MESSAGE CONTENTS {path} ***\n".encode())
        for record in _content_records(content, request.parts):
            _record(request, path, record)
    if marked:
        out.write(f"*** HEADER EXTRACTED {path} ***\n*** MESSAGE FILE END {path} ***\n".encode())


def _record(request: Request, path: str, record: Record) -> None:
    if record.offset < request.start:
        return
    prefix = ""
    if request.names:
        prefix += f"{path}: "
    if request.offsets:
        prefix += f"{record.offset:9} "
    if request.types:
        prefix += f"{ord(record.kind):3} "
    sys.stdout.buffer.write(prefix.encode() + record.text + b"\n")


def _named(offset: int, kind: str, name: str, value: str) -> Record:
    return Record(offset, kind, f"{name}: {value}".encode("utf-8", "surrogateescape"))


def _envelope_records(file: QueueFile) -> Iterator[Record]:
    envelope = file.envelope
    sizes = f"{file.length:15} {file.offset:15} {file.recipient_count:15}"
    yield _named(0, _SIZE, "message_size", sizes)
    yield _named(0, _TIME, "message_arrival_time", format_asctime(envelope.arrival))
    yield from _attributes(envelope)
    yield _named(0, _SENDER, "sender", envelope.sender)
    for stored in file.recipients():
        yield from _recipient(stored)


def _attributes(envelope: Envelope) -> Iterator[Record]:
    for name, value in envelope.members().items():
        if name == "full_name":
            yield _named(0, _FULL_NAME, "sender_fullname", str(value))
        elif name == "attributes":
            for key, text in envelope.attributes.items():
                yield _named(0, _ATTRIBUTE, "named_attribute", f"{key}={text}")
        elif name not in ("sender", "arrival"):
            yield _named(0, _ATTRIBUTE, "named_attribute", f"{name}={value}")


def _recipient(stored: StoredRecipient) -> Iterator[Record]:
    recipient = stored.recipient
    if recipient.orcpt:
        yield _named(stored.n, _ATTRIBUTE, "named_attribute", f"dsn_orig_rcpt={recipient.orcpt}")
    if recipient.notify:
        yield _named(stored.n, _ATTRIBUTE, "named_attribute", f"notify_flags={','.join(recipient.notify)}")
    if recipient.original:
        yield _named(stored.n, _ORIGINAL, "original_recipient", recipient.original)
    name = "done_recipient" if stored.done else "recipient"
    yield _named(stored.n, _DONE if stored.done else _TODO, name, recipient.address)


def _submission_records(descriptor: int) -> tuple[Iterator[Record], Content]:
    submission = read_submission(descriptor)

    def records() -> Iterator[Record]:
        yield _named(0, _SIZE, "message_size", f"{submission.length:15}")
        for name in ("envid", "ret", "body"):
            if value := getattr(submission, name):
                yield _named(0, _ATTRIBUTE, "named_attribute", f"{name}={value}")
        if submission.full_name:
            yield _named(0, _FULL_NAME, "sender_fullname", submission.full_name)
        yield _named(0, _SENDER, "sender", submission.sender)
        for address in submission.recipients:
            yield _named(0, _TODO, "recipient", address)

    return records(), Content(descriptor, submission.offset, submission.length)


def _content_records(content: Content, parts: set[str]) -> Iterator[Record]:
    """The lines of the header, of the body, or of both; the empty line between them goes with the header."""
    in_header = True
    offset = content.offset
    held = b""
    chunks = content.chunks()
    while True:
        with contextlib.suppress(StopIteration):
            held += next(chunks)
            lines = held.split(b"\n")
            held = lines.pop()
            for line in lines:
                if ("h" if in_header else "b") in parts:
                    yield Record(offset, _LINE, line)
                offset += len(line) + 1
                in_header = in_header and line != b""
            continue
        if held and ("h" if in_header else "b") in parts:
            yield Record(offset, _LINE, held)
        return


if __name__ == "__main__":
    sys.exit(main())
