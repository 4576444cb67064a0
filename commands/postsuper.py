"""postsuper - maintain the mail queue

    postsuper [-c DIR] [-v] [-d ID] [-h ID] [-H ID] [-r ID] [-e ID] [-f ID] [-p] [-s] [-S] [queue ...]

-d deletes, -h puts on hold, -H releases from hold (and what waits for its release time, FUTURERELEASE), -r requeues:
the message goes through cleanup again, with the rewriting and aliases of today, and gets a new queue id.
-e expires at the next attempt, -f does that and releases from hold.  ID is a queue id, ALL (in capitals), or - to read
ids from standard input; the options may be repeated.  Queue names (hold incoming active deferred) limit where messages
are looked for.
-p removes what crashed programs have left behind, -s and -S look for files that do not belong into the queue.

For the superuser or the owner of the queue.  Works while the mail system runs: a message moves by rename only, and the
queue manager is told.
Exit status: 0, else a sysexits(3) code: 64 wrong use, 71 trouble with files, 77 not allowed, 78 configuration.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pillarbox.commands import options
from pillarbox.commands.postlog import open_log
from pillarbox.commands.sendmail import poke
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.qmgr import QmgrClient
from pillarbox.lib.config import Config, ConfigError, config_directory, load
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY, SYSLOG_NAME
from pillarbox.lib.log import log
from pillarbox.lib.queue import CorruptQueueFile, Queue, QueueFile, decode_id, is_queue_id
from pillarbox.lib.queue.directories import LOGS, MAILDROP
from pillarbox.lib.queue.listing import AT_ONCE, FORCED_EXPIRE, FORCED_RELEASE
from pillarbox.lib.queue.outcomes import log_path

PROGRAM = "postsuper"
USAGE = "postsuper [-c dir] [-d|-e|-f|-h|-H|-r id] [-p] [-s] [-S] [-v] [queue ...]"
NAMES = ("hold", "incoming", "active", "deferred")
ALL, FROM_INPUT = "ALL", "-"

LITTER_AGE = 7 * 86400.0
"""Seconds after which -p takes a nameless or orphaned file to be left by a crash."""


class Refused(Exception):
    """The command ends: the sentence, and the exit status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Action:
    """One of the options that take an id: where it looks, what it does, how that is said."""

    queues: tuple[str, ...]
    apply: Callable[[Queue, str, str], bool]
    done: str
    total: str


@dataclass(slots=True)
class Request:
    """The command line."""

    directory: str | None = None
    actions: list[tuple[str, str]] = field(default_factory=list)
    purge: bool = False
    structure: bool = False
    queues: list[str] = field(default_factory=list)


# --- the actions; each True where it did something, FileNotFoundError where the message has moved meanwhile


def _delete(queue: Queue, name: str, queue_id: str) -> bool:
    os.unlink(queue.path(name, queue_id))
    for kind in LOGS:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(log_path(queue.directory, kind, queue_id))
    return True


def _hold(queue: Queue, name: str, queue_id: str) -> bool:
    queue.move(queue_id, name, "hold")
    return True


def release_message(queue: Queue, name: str, queue_id: str) -> bool:
    """Let a message go from hold.  Raises FileNotFoundError where it has moved."""
    # To deferred/ with its time come for all recipients: the queue manager takes it from there as after a wait.
    os.utime(queue.path(name, queue_id), (AT_ONCE, AT_ONCE))
    queue.move(queue_id, name, "deferred")
    return True


def _release_early(queue: Queue, name: str, queue_id: str) -> bool:
    """From hold/; or a message that waits for its release time (RFC 4865), which is then no longer waited for."""
    if name == "hold":
        return release_message(queue, name, queue_id)
    path = queue.path(name, queue_id)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if mode & FORCED_RELEASE or QueueFile(descriptor).envelope.release <= time.time():
            return False
        os.fchmod(descriptor, (mode & 0o777) | FORCED_RELEASE)
        os.utime(descriptor, (AT_ONCE, AT_ONCE))
    except CorruptQueueFile:
        return False
    finally:
        os.close(descriptor)
    return True


def _requeue(queue: Queue, name: str, queue_id: str) -> bool:
    """To maildrop/, from where pickup passes it through cleanup; it gets a new queue id there."""
    path = queue.path(name, queue_id)
    if os.path.exists(log_path(queue.directory, "bounce", queue_id)):
        os.stat(path)  # where it is
        why = "its sender has not been told yet of recipients that have failed; flush it first (postqueue -i)"
        print(f"{PROGRAM}: warning: {queue_id}: not requeued: {why}", file=sys.stderr)
        return False
    os.chmod(path, 0o600)  # marks of -e and -H were for the old attempt
    queue.move(queue_id, name, MAILDROP)
    return True


def _expire(queue: Queue, name: str, queue_id: str) -> bool:
    path = queue.path(name, queue_id)
    mode = os.stat(path).st_mode
    if mode & FORCED_EXPIRE:
        return False
    os.chmod(path, (mode & 0o777) | FORCED_EXPIRE)
    if name == "deferred":
        os.utime(path, None)
    return True


def _expire_and_release(queue: Queue, name: str, queue_id: str) -> bool:
    changed = _expire(queue, name, queue_id)
    if name == "hold":
        return release_message(queue, name, queue_id)
    return changed


ACTIONS = {
    "d": Action(NAMES, _delete, "removed", "Deleted"),
    "h": Action(("incoming", "active", "deferred"), _hold, "placed on hold", "Placed on hold"),
    "H": Action(("hold", "deferred"), _release_early, "released from hold", "Released from hold"),
    "r": Action(NAMES, _requeue, "requeued", "Requeued"),
    "e": Action(NAMES, _expire, "expired", "Force-expired"),
    "f": Action(NAMES, _expire_and_release, "expired", "Force-expired"),
}
_MANY_AT_ONCE = 100
"""Queue ids in one notice to the queue manager."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; `argv` without the program's name."""
    try:
        request = parse(sys.argv[1:] if argv is None else argv)
        config = load(config_directory(request.directory))
        _check_right(config)
        _open_log(config, request.directory)
        return _Command(config, request).run()
    except Refused as error:
        print(f"{PROGRAM}: fatal: {error}", file=sys.stderr)
        return error.status
    except ConfigError as error:
        print(f"{PROGRAM}: fatal: {error}", file=sys.stderr)
        return os.EX_CONFIG
    except OSError as error:
        print(f"{PROGRAM}: fatal: {error.filename}: {error.strerror}", file=sys.stderr)
        return os.EX_OSERR


def parse(argv: Sequence[str]) -> Request:
    """Read the command line.  Raises Refused."""
    request = Request()
    try:
        found, request.queues = options.parse(argv, "c:d:e:f:h:H:pr:sSv")
    except options.BadOption as error:
        raise Refused(f"{error}; usage: {USAGE}", os.EX_USAGE) from None
    for letter, value in found:
        if letter == "c":
            request.directory = value
        elif letter in ACTIONS:
            request.actions.append((letter, value))
        elif letter == "p":
            request.purge = True
        elif letter in "sS":
            request.structure = True
    for name in request.queues:
        if name not in NAMES:
            raise Refused(f"invalid directory name: {name}; one of {', '.join(NAMES)} was expected", os.EX_USAGE)
    if sum(value == FROM_INPUT for _, value in request.actions) > 1:
        raise Refused("standard input can give the ids of one option only", os.EX_USAGE)
    if not request.actions and not request.purge:
        request.structure = True  # as Postfix: without options, look at the structure
    return request


def _check_right(config: Config) -> None:
    owner = os.stat(config[QUEUE_DIRECTORY]).st_uid
    if os.geteuid() not in (0, owner):
        raise Refused("use of this command is reserved for the superuser and the owner of the queue", os.EX_NOPERM)


class _Command:
    def __init__(self, config: Config, request: Request) -> None:
        self._config = config
        self._queue = Queue(config[QUEUE_DIRECTORY])
        self._request = request
        self._changed: list[str] = []

    def run(self) -> int:
        counts: dict[str, int] = {}
        for letter, value in self._request.actions:
            action = ACTIONS[letter]
            count = sum(self._apply(action, value, queue_id) for queue_id in self._ids(value))
            counts[action.total] = counts.get(action.total, 0) + count
        if self._request.purge:
            counts["Purged"] = self._purge()
        if self._request.structure:
            self._inspect()
        self._tell_qmgr()
        if any(letter == "r" for letter, _ in self._request.actions):
            poke(self._queue.directory)
        for total, count in counts.items():
            if count or total == "Deleted":
                _say(f"{total}: {count} message{'' if count == 1 else 's'}")
        return os.EX_OK

    def _queues(self, action: Action) -> tuple[str, ...]:
        wanted = self._request.queues
        return tuple(name for name in action.queues if not wanted or name in wanted)

    def _ids(self, value: str) -> Iterator[str]:
        if value == ALL:
            yield ALL
        elif value == FROM_INPUT:
            for line in sys.stdin:
                if word := line.strip():
                    yield word
        else:
            yield value

    def _apply(self, action: Action, value: str, queue_id: str) -> int:
        """How many messages were changed."""
        names = self._queues(action)
        if queue_id == ALL and value == ALL:
            # A list first: what is moved on shall not be met again in the next directory.
            found = [(name, one) for name in names for one in self._queue.ids(name)]
            return sum(self._one(action, (name,), one) for name, one in found)
        if not is_queue_id(queue_id):
            print(f"{PROGRAM}: warning: invalid mail queue id: {queue_id}", file=sys.stderr)
            return 0
        return self._one(action, names, queue_id)

    def _one(self, action: Action, names: Iterable[str], queue_id: str) -> bool:
        for _ in range(2):  # a message may move on while it is looked for
            for name in names:
                try:
                    if not action.apply(self._queue, name, queue_id):
                        return False
                except FileNotFoundError:
                    continue
                _say(f"{queue_id}: {action.done}")
                self._changed.append(queue_id)
                return True
        return False

    def _purge(self) -> int:
        """Remove files in the making that are older than a week, and logs without a message."""
        count = 0
        limit = time.time() - LITTER_AGE
        for name in ("incoming", MAILDROP):
            for path in _old_files(f"{self._queue.directory}/{name}", limit, lambda file: file.startswith(".")):
                os.unlink(path)
                count += 1
        for kind in LOGS:
            folder = f"{self._queue.directory}/{kind}"
            for path in _old_files(folder, limit, lambda file: not self._exists(file)):
                os.unlink(path)
                count += 1
        return count

    def _exists(self, queue_id: str) -> bool:
        return is_queue_id(queue_id) and any(os.path.lexists(self._queue.path(name, queue_id)) for name in NAMES)

    def _inspect(self) -> None:
        """Report files that are not messages.  Ids hold the inode number; after a restore they no longer do, which
        is reported and harmless: an id is still used once only."""
        moved = 0
        for name in NAMES:
            with os.scandir(f"{self._queue.directory}/{name}") as found:
                for entry in found:
                    if entry.name.startswith("."):
                        continue
                    if not is_queue_id(entry.name) or not entry.is_file(follow_symlinks=False):
                        print(f"{PROGRAM}: warning: bogus file name: {name}/{entry.name}", file=sys.stderr)
                    elif decode_id(entry.name)[1] != entry.inode():
                        moved += 1
        if moved:
            _say(f"{moved} message{'' if moved == 1 else 's'} not named after their inodes, as after a restore")

    def _tell_qmgr(self) -> None:
        client = QmgrClient(self._config)
        for start in range(0, len(self._changed), _MANY_AT_ONCE):
            try:
                client.changed(self._changed[start : start + _MANY_AT_ONCE])
            except ServiceUnavailable:
                return  # not running: it will find everything as it is


def _old_files(folder: str, limit: float, chosen: Callable[[str], bool]) -> list[str]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as found:
        return [entry.path for entry in found if chosen(entry.name) and entry.stat().st_mtime < limit]
    return []


def _open_log(config: Config, directory: str | None) -> None:
    """What is done to mail stands in the mail log too; a log that cannot be written stops nothing."""
    try:
        open_log(directory, f"{config[SYSLOG_NAME]}/{PROGRAM}")
    except options.Fatal as error:
        print(f"{PROGRAM}: warning: {error}", file=sys.stderr)


def _say(text: str) -> None:
    print(f"{PROGRAM}: {text}", file=sys.stderr)
    log.info(text)


if __name__ == "__main__":
    sys.exit(main())
