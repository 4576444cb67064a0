"""`pillarbox start`, `stop`, `reload`, `status` and `flush`: dealing with the running master of an instance.

What only one of them needs is imported there: asyncio, which comes with the client of the queue manager, takes as long
as all the rest of a stop.
"""

from __future__ import annotations

import fcntl
import os
import runpy
import signal
import sys
import time

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import (
    CONFIG_DIRECTORY,
    DRAIN_TIMEOUT,
    MAIL_OWNER,
    QUEUE_DIRECTORY,
    RUN_DIRECTORY,
)
from pillarbox.lib.config.parameters.qmgr import MAXIMAL_BACKOFF_TIME, MINIMAL_BACKOFF_TIME

STAGES = 3
"""The suite stops in so many steps, each of which may take the drain timeout."""

STOP_SLACK = 20.0
"""Seconds beyond the drain timeouts that stop waits: in each step the master gives processes a few more to end."""

MASTER = "pillarbox.master"
"""The module that a master runs; no command imports a program."""

EX_NOT_RUNNING = 1


def running_pid(config: Config) -> int:
    """The process id of the instance's master, 0 where none runs: a running one holds a lock on its pid file."""
    try:
        descriptor = os.open(f"{config[RUN_DIRECTORY]}/master.pid", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return 0
    except BlockingIOError:
        text = os.read(descriptor, 64).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)


def _say(text: str, status: int = os.EX_OK) -> int:
    print(f"pillarbox: {text}", file=sys.stdout if status == os.EX_OK else sys.stderr)
    return status


def start(config: Config, *, foreground: bool) -> int:
    """Start the suite; returns when every service accepts connections, or says why one does not."""
    if pid := running_pid(config):
        return _say(f"the mail system is already running: PID: {pid}", os.EX_UNAVAILABLE)
    try:
        _settle_queue(config)
    except (OSError, LookupError) as error:
        return _say(f"cannot put the queue right that was moved here: {error}", os.EX_OSERR)
    if foreground:
        command = [sys.executable, "-P", "-m", MASTER, "-c", config[CONFIG_DIRECTORY]]
        os.execv(command[0], command)
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_daemon(config[CONFIG_DIRECTORY], ours, theirs)
    os.close(theirs)
    os.waitpid(pid, 0)
    answer = b""
    while not answer.endswith(b"\n") and (piece := os.read(ours, 4096)):
        answer += piece
    text = answer.decode("utf-8", "replace").strip()
    if text == "ok":
        return os.EX_OK
    return _say(text or "the master process ended without a word; see the log", os.EX_UNAVAILABLE)


def _settle_queue(config: Config) -> None:
    """Before anything looks at it: put right what a queue has lost that was copied here.  Raises OSError."""
    from pillarbox.lib.queue import Queue, relocation

    queue = Queue(config[QUEUE_DIRECTORY])
    if not os.path.isdir(queue.directory) or not relocation.moved(queue):
        return
    from pillarbox.lib.system.privileges import resolve_identity

    owner = resolve_identity(config[MAIL_OWNER]) if os.getuid() == 0 else None
    least, most = config[MINIMAL_BACKOFF_TIME], config[MAXIMAL_BACKOFF_TIME]
    repairs = relocation.put_right(
        queue,
        time.time(),
        lambda age: min(max(age, least), max(least, most)),
        *((owner.uid, owner.gid) if owner else ()),
    )
    time.sleep(repairs.pause)
    relocation.remember(queue)
    if repairs.any:
        _say(
            f"the queue was moved here: owner or mode of {repairs.owners} files, next attempt of {repairs.times} and "
            f"queue id of {len(repairs.names)} messages put right"
        )
        for old, new in repairs.names:
            _say(f"{old}: its time lies in the future; it is now {new}")


def _become_daemon(directory: str, ours: int, theirs: int) -> None:
    """In the child: leave the caller's session, keep only the pipe, and be the master.

    In this interpreter: a new one would import again what is here already, a sixth of the work of a start.
    """
    try:
        os.close(ours)
        os.setsid()
        if os.fork():
            os._exit(0)
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        sys.argv[1:] = ["-c", directory, "--notify-fd", str(theirs)]
        runpy.run_module(MASTER, run_name="__main__", alter_sys=True)
    finally:
        os._exit(os.EX_OSERR)


def stop(config: Config) -> int:
    """Let running sessions end, then end; returns when everything has ended."""
    pid = running_pid(config)
    if not pid:
        return _say("the mail system is not running", EX_NOT_RUNNING)
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + config[DRAIN_TIMEOUT] * STAGES + STOP_SLACK
    while running_pid(config) == pid:
        if time.monotonic() > deadline:
            return _say(f"PID {pid} has not ended yet; see the log", os.EX_TEMPFAIL)
        time.sleep(0.01)
    return os.EX_OK


def reload(config: Config) -> int:
    """Put the configuration files into force; not where master would refuse them, which only its log would tell."""
    from pillarbox.commands.check import obstacles
    from pillarbox.commands.check_passwords import unusable_tables
    from pillarbox.commands.check_tls import unusable_certificates  # the other verbs need no TLS

    pid = running_pid(config)
    if not pid:
        return _say("the mail system is not running", EX_NOT_RUNNING)
    found = (unusable_certificates(config), unusable_tables(config), obstacles(config))
    if reasons := list(dict.fromkeys(reason for part in found for reason in part)):
        for reason in reasons:
            _say(reason, os.EX_CONFIG)
        return _say("not reloaded, the old configuration stays", os.EX_CONFIG)
    os.kill(pid, signal.SIGHUP)
    return os.EX_OK


def status(config: Config) -> int:
    """Say whether the suite runs."""
    pid = running_pid(config)
    if not pid:
        return _say("the mail system is not running", EX_NOT_RUNNING)
    return _say(f"the mail system is running: PID: {pid}")


def flush(config: Config) -> int:
    """Try all deferred mail again now."""
    from pillarbox.lib.clients.errors import ServiceUnavailable
    from pillarbox.lib.clients.qmgr import QmgrClient

    try:
        count = QmgrClient(config).flush()
    except ServiceUnavailable as error:
        return _say(f"cannot flush the queue: {error.reason}", os.EX_UNAVAILABLE)
    return _say(f"{count} deferred message{'s' if count != 1 else ''} will be tried now")
