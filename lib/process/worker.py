"""One worker process: from the master's fork to `_exit`.

The worker talks to the master over a status socket, one byte a message: READY once it accepts work, FULL and FREE when
its session count reaches and leaves the ceiling; the master sends WAKE, and RETIRE: take no new session and end when
the last one has.  When the master is gone the status socket
reports the end of the stream, and the worker drains and ends like after SIGTERM.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

import setproctitle

from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.parameters.general import DAEMON_TIMEOUT, DRAIN_TIMEOUT, MAIL_OWNER, MAX_IDLE, SYSLOG_NAME
from pillarbox.lib.log import log
from pillarbox.lib.process.program import Program
from pillarbox.lib.system import libc
from pillarbox.lib.system.privileges import drop_privileges, resolve_identity
from pillarbox.lib.tls.tickets import TicketKeys

READY, FULL, FREE, WAKE, RETIRE = b"R", b"F", b"A", b"W", b"T"
FAILED = b"E"
"""Followed by the reason in words, to the end of the stream."""

EXIT_FAILED = 1
"""A worker that could not start, or met a fault of its own."""


class Worker:
    """What the skeleton offers to a program."""

    def __init__(
        self,
        program: Program,
        service: Service,
        config: Config,
        listeners: Sequence[socket.socket],
        status: socket.socket,
        *,
        spare: bool = False,
        tickets: TicketKeys | None = None,
    ) -> None:
        self.program = program
        self.service = service
        self.config = config
        self.listeners = list(listeners)
        self.status = status
        self.spare = spare
        """Whether this process is beyond the warm ones of its service and may end when idle."""
        self.tickets = tickets
        """The keys of the service's TLS session tickets, where it has any."""
        self.is_parent = False
        """Whether it has kept the rights of root, for its children to be other users (`Program.parent`)."""
        self.started = False
        self.stopping = False
        self.retiring = False
        self.sessions = 0
        self.sessions_may_idle = False
        """Whether clients keep their connections open between requests: work is then counted, not sessions."""
        self.served = 0
        """Requests that were begun or ended, ever; it need only change when there is work."""
        self.under_way = 0
        """Requests being worked on."""
        self.ceiling = service.sessions
        """Most sessions at once; beyond it connections wait for another process."""
        self.on_wakeup: Callable[[], None] | None = None
        self.on_stop: Callable[[], None] | None = None
        self.on_retire: Callable[[], None] | None = None
        """Set by the runners that can retire."""
        self.drain_timeout = config[DRAIN_TIMEOUT]
        self.max_idle = config[MAX_IDLE]
        self._watchdog = max(1, int(config[DAEMON_TIMEOUT]))
        self._titled = -1
        self._full = False

    # --- sessions
    @property
    def at_ceiling(self) -> bool:
        """Whether no further session may be taken."""
        return self.sessions >= self.ceiling

    def session_started(self) -> None:
        """Count a session."""
        self.sessions += 1
        if not self._full and self.sessions >= self.ceiling:
            self._full = True
            self.tell(FULL)

    def session_ended(self) -> None:
        """Uncount a session."""
        self.sessions -= 1
        if self._full and self.sessions < self.ceiling:
            self._full = False
            self.tell(FREE)

    def request_started(self) -> None:
        """Count a request, where `sessions_may_idle`."""
        self.served += 1
        self.under_way += 1

    def request_ended(self) -> None:
        """Uncount a request."""
        self.served += 1
        self.under_way -= 1

    # --- the master's side
    def ready(self) -> None:
        """Say that the process accepts work.  Where it was told to stop before, it learns so now."""
        self.tick()
        self.started = True
        self.tell(READY)
        if self.stopping and self.on_stop:
            self.on_stop()

    def tell(self, message: bytes) -> None:
        """Send a status byte; a master that is gone is noticed elsewhere."""
        try:
            self.status.send(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            pass

    def read_status(self) -> bool:
        """Take what the master sent; False where it is gone."""
        try:
            data = self.status.recv(64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if WAKE in data and self.on_wakeup:
            self.on_wakeup()
        if RETIRE in data:
            self.retire()
        return bool(data)

    def watch(self) -> None:
        """Arm the watchdog: the kernel's alarm with its default action, which ends a process whatever it hangs in."""
        signal.alarm(self._watchdog)

    def tick(self) -> None:
        """Show life: re-arm the watchdog, bring the title that `ps` shows up to date.  Called about once a second."""
        self.watch()
        if self.tickets is not None:
            self.tickets.advance()
        if self._titled != self.sessions:
            self._titled = self.sessions
            setproctitle.setproctitle(self.title())

    def title(self) -> str:
        """`pillarbox: smtpd [submission] 3 sessions`."""
        text = f"{self.config[SYSLOG_NAME].partition('/')[0]}: {self.program.name}"
        if self.service.name != self.program.name:
            text += f" [{self.service.name}]"
        if self.sessions:
            text += f" {self.sessions} session{'s' if self.sessions != 1 else ''}"
        if self.retiring:
            text += " (retired)"
        return text

    def retire(self) -> None:
        """Take no new session, stop when the last one has ended by itself; at once where the runner cannot retire."""
        self.retiring = True
        self._titled = -1  # the title says so
        if self.started and self.on_retire is not None:
            self.on_retire()
        else:
            self.stop()

    def make_way(self) -> None:
        """Stop because a new process would know better (a table has changed); clients need not wait until this one has
        drained: the master starts another as soon as one knocks."""
        self._full = False  # whatever sessions do from now on, it is not free any more
        self.tell(FULL)
        self.stop()

    def stop(self) -> None:
        """Begin to drain: no new session; `run` returns when the running ones have ended."""
        if not self.stopping:
            self.stopping = True
            if self.started and self.on_stop:
                self.on_stop()


def enter(worker: Worker, *, announce: bool = False, inside: Callable[[Worker], None] | None = None) -> NoReturn:
    """Be the worker process; never returns.

    `announce` logs what confinement was got.  `inside` is code to run inside the confined process just before its work
    begins: the seam of the breach tests.  No option, file or environment variable leads to it.
    """
    status = EXIT_FAILED
    try:
        _begin(worker, announce)
        if inside:
            inside(worker)
        worker.program.run(worker)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else EXIT_FAILED
    except KeyboardInterrupt:
        status = 0
    except Exception as error:  # the last line of defence of a process: say what happened, let the master start another
        reason = f"{type(error).__name__}: {error} ({_place(error)})"
        log.fatal(f"{worker.service.name}: {reason}")
        worker.tell(FAILED + reason.encode("utf-8", "replace")[:1024])
        if "PILLARBOX_TRACEBACK" in os.environ:
            traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _place(error: BaseException) -> str:
    """The innermost three places of a fault, on one line."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{frame.filename.rpartition('/pillarbox/')[2]}:{frame.lineno}" for frame in reversed(frames))


LARGE_BLOCK = 64 * 1024
"""Blocks from this size on are pieces of mail, gone when the mail is: 100 sessions in the middle of large messages left
310 kB for each of them with smtpd, with this 50.  A read (`READ_SIZE` in lib/ipc) must be smaller: it would pay for a
mapping each time."""


YOUNG_OBJECTS = 50_000
"""Objects after which Python looks for unreachable cycles among the new ones.  With its 700, an SMTP client with a
thousand deliveries that wait spends a quarter of its time on looking at what is alive, with 10,000 a tenth; we hardly
make cycles."""


def _begin(worker: Worker, announce: bool) -> None:
    libc.return_freed_blocks(LARGE_BLOCK)
    gc.set_threshold(YOUNG_OBJECTS)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the master decides
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    worker.watch()  # a process that hangs before it is ready must end too
    signal.signal(signal.SIGTERM, lambda _number, _frame: worker.stop())
    sys.unraisablehook = _unraisable
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    random.seed()
    program, config = worker.program, worker.config
    tag = config[SYSLOG_NAME]
    log.set_program(f"{tag}/{program.name}")
    setproctitle.setproctitle(worker.title())
    program.prepare(worker)
    worker.is_parent = os.getuid() == 0 and not worker.service.user and program.parent(config)
    if worker.is_parent:
        return
    if os.getuid() == 0 and (owner := owner_of(worker)):
        identity = resolve_identity(owner)
        drop_privileges(identity.uid, identity.gid, suite_groups(config))
    if program.confinement is not None and worker.service.confine:
        report = program.confinement(config).apply()
        if announce:
            log.info(f"{worker.service.name}: {report}")
    elif announce and program.confinement is not None:
        log.warning(f"{worker.service.name}: not confined, as master.yaml says")


def _unraisable(failure: sys.UnraisableHookArgs) -> None:
    """What Python cannot raise (in a callback, in a destructor) is one line in the log, not a traceback nobody reads.

    A name in a TLS handshake that is not ASCII comes here too; the failed handshake is logged by itself.
    """
    if not isinstance(failure.exc_value, UnicodeDecodeError) or not isinstance(failure.object, bytes):
        kind = failure.exc_type.__name__
        log.error(f"ignored: {kind}: {failure.exc_value} ({failure.err_msg or failure.object!r:.100})")


def owner_of(worker: Worker) -> str:
    """The user a worker runs as: the service's `user`, else the program's owner parameter; "" is the starting user."""
    if worker.service.user:
        return worker.service.user
    if not worker.program.owner:
        return ""
    value = worker.config.expanded(worker.program.owner)
    return value if isinstance(value, str) else value[0]


def suite_groups(config: Config) -> tuple[int, ...]:
    """The supplementary group of all programs, by which they may enter the directory of private sockets."""
    return (resolve_identity(config[MAIL_OWNER]).gid,)


class IdleTimer:
    """Tells when a spare process has been idle for long enough to end."""

    def __init__(self, worker: Worker, clock: Callable[[], float] = time.monotonic) -> None:
        self._worker = worker
        self._clock = clock
        self._since = clock()
        self._served = worker.served

    def expired(self) -> bool:
        """Whether the process is spare and has had no work for `max_idle` seconds; call it about once a second.

        Work is a session, or, where sessions may be idle, a request.
        """
        worker = self._worker
        busy = worker.under_way or (worker.sessions and not worker.sessions_may_idle) or worker.served != self._served
        if busy or not worker.spare:
            self._since = self._clock()
            self._served = worker.served
            return False
        return self._clock() - self._since > worker.max_idle
