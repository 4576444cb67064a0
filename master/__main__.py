"""`python -m pillarbox.master -c DIR/etc`: run the suite; `pillarbox start` is the command for people.

`--notify-fd N` tells the starting command how it went: one line, "ok" or the reason for the failure.
The process keeps `run/master.pid` locked (flock) as long as it lives.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import sys
import time

import setproctitle

from pillarbox import __version__
from pillarbox.lib.config import ConfigError, load
from pillarbox.lib.config.parameters.general import (
    CONFIG_DIRECTORY,
    LOG_FORMAT,
    MAILLOG_FILE,
    MYHOSTNAME,
    RUN_DIRECTORY,
    SYSLOG_NAME,
)
from pillarbox.lib.config.values import Config
from pillarbox.lib.log import log
from pillarbox.lib.log.logger import file_destination, syslog_destination
from pillarbox.master.supervisor import Inside, StartFailed, Supervisor

EX_OK, EX_CONFIG, EX_UNAVAILABLE = 0, 78, 69
LOG_MODE = 0o640
LOCK_TRIES, LOCK_PAUSE = 20, 0.025
"""How often, and after how many seconds, the lock on the pid file is tried again."""


def open_log(config: Config) -> int:
    """Point the log where `maillog_file` says; workers inherit the open file.

    Returns its descriptor, -1 for syslog.  Raises StartFailed.
    """
    target = config[MAILLOG_FILE]
    json_lines = config[LOG_FORMAT] == "json"
    tag, host = f"{config[SYSLOG_NAME]}/master", config[MYHOSTNAME]
    if target == "syslog":
        log.configure(tag, syslog_destination(), json_lines=json_lines, syslog=True, host=host)
        return -1
    try:
        if target in ("/dev/stdout", "/dev/stderr"):
            descriptor = os.dup(1 if target.endswith("stdout") else 2)
        else:
            descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, LOG_MODE)
    except OSError as error:
        raise StartFailed(f"cannot open the log {target}: {error.strerror}") from None
    log.configure(tag, file_destination(descriptor), json_lines=json_lines, host=host)
    return descriptor


def lock_pid_file(config: Config) -> int:
    """Lock `run/master.pid` and write our process id into it.  Raises StartFailed where another master holds it."""
    path = f"{config[RUN_DIRECTORY]}/master.pid"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StartFailed(f"cannot open {path}: {error.strerror}") from None
    for patience in reversed(range(LOCK_TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            # Commands that only look whether a master runs hold the lock for a moment too.
            if not patience:
                pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                os.close(descriptor)
                raise StartFailed(f"the mail system is already running: PID: {pid}") from None
            time.sleep(LOCK_PAUSE)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%32d\n" % os.getpid(), 0)
    return descriptor


def run_master(directory: str, notify_fd: int = -1, inside: Inside | None = None) -> int:
    """Be the master of the instance whose configuration is in `directory`; returns the exit status.

    `inside` is for the breach tests, see `Supervisor`.
    """

    def tell(text: str) -> None:
        if notify_fd >= 0:
            with contextlib.suppress(OSError):  # the command may be gone; the suite runs all the same
                os.write(notify_fd, " ".join(text.splitlines()).encode("utf-8", "replace") + b"\n")
            os.close(notify_fd)

    try:
        config = load(directory)
        log_file = open_log(config)
        lock = lock_pid_file(config)
    except ConfigError as error:
        tell(str(error))
        print(error, file=sys.stderr)
        return EX_CONFIG
    except StartFailed as error:
        tell(str(error))
        print(f"pillarbox: fatal: {error}", file=sys.stderr)
        return EX_UNAVAILABLE

    def reload_config() -> Config:
        nonlocal log_file
        changed = load(directory)
        former, log_file = log_file, open_log(changed)
        if former >= 0:
            os.close(former)  # else every reload would leave one open, in all workers after it
        return changed

    os.chdir("/")
    own = [lock, notify_fd] if notify_fd >= 0 else [lock]
    supervisor = Supervisor(config, reload_config, own_descriptors=own, inside=inside)
    setproctitle.setproctitle(supervisor.title())
    try:
        supervisor.start()
    except StartFailed as error:
        log.fatal(str(error))
        tell(str(error))
        os.ftruncate(lock, 0)
        return EX_UNAVAILABLE
    log.info(f"daemon started -- version {__version__}, configuration {config[CONFIG_DIRECTORY]}")
    tell("ok")
    supervisor.own_descriptors = [lock]  # the number of the closed one is given out again, to the log for one
    supervisor.run()
    log.info("stopped")
    os.ftruncate(lock, 0)
    return EX_OK


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="pillarbox-master")
    parser.add_argument("-c", dest="directory", required=True)
    parser.add_argument("--notify-fd", type=int, default=-1)
    options = parser.parse_args()
    os.umask(0o077)
    return run_master(os.path.abspath(options.directory), options.notify_fd)


if __name__ == "__main__":
    status = main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Whoever waits for the end (pillarbox stop) should not find a master that is still taking its heap apart.
    os._exit(status)
