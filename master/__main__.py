"""`python -m pillarbox.master -c DIR/etc`: run the suite; `pillarbox start` is the command for people.

`--notify-fd N` tells the starting command how it went: one line, "ok" or the reason for the failure.
The process keeps `run/master.pid` locked (flock) as long as it lives.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys

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


def open_log(config: Config) -> None:
    """Point the log where `maillog_file` says; workers inherit the open file.  Raises StartFailed."""
    target = config[MAILLOG_FILE]
    json_lines = config[LOG_FORMAT] == "json"
    tag, host = f"{config[SYSLOG_NAME]}/master", config[MYHOSTNAME]
    if target == "syslog":
        log.configure(tag, syslog_destination(), json_lines=json_lines, syslog=True, host=host)
        return
    try:
        if target in ("/dev/stdout", "/dev/stderr"):
            descriptor = os.dup(1 if target.endswith("stdout") else 2)
        else:
            descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, LOG_MODE)
    except OSError as error:
        raise StartFailed(f"cannot open the log {target}: {error.strerror}") from None
    log.configure(tag, file_destination(descriptor), json_lines=json_lines, host=host)


def lock_pid_file(config: Config) -> int:
    """Lock `run/master.pid` and write our process id into it.  Raises StartFailed where another master holds it."""
    path = f"{config[RUN_DIRECTORY]}/master.pid"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StartFailed(f"cannot open {path}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(descriptor, 32).decode("ascii", "replace").strip()
        raise StartFailed(f"the mail system is already running: PID: {pid}") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%32d\n" % os.getpid(), 0)
    return descriptor


def run_master(directory: str, notify_fd: int = -1, inside: Inside | None = None) -> int:
    """Be the master of the instance whose configuration is in `directory`; returns the exit status.

    `inside` is for the breach tests, see `Supervisor`.
    """

    def tell(text: str) -> None:
        if notify_fd >= 0:
            os.write(notify_fd, " ".join(text.splitlines()).encode("utf-8", "replace") + b"\n")
            os.close(notify_fd)

    try:
        config = load(directory)
        open_log(config)
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
        changed = load(directory)
        open_log(changed)
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
    return run_master(options.directory, options.notify_fd)


if __name__ == "__main__":
    sys.exit(main())
