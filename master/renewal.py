"""Noticing that what processes have read before they gave up their rights has changed, and that the new can be used.

That is certificates (`Program.tls`) and tables with secrets (`Program.tables`).  Their files are looked at every few
seconds (one stat each).  When a service's files have changed, and have then stayed the same for one more look, a child
process reads them as the service would: master itself reads no key and no password, so that no worker inherits one.
Only what can be used is put into force; what cannot is logged once, and the processes go on with what they have.
"""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.smtpd_tls import (
    SMTPD_TLS_CAFILE,
    SMTPD_TLS_CAPATH,
    SMTPD_TLS_CERT_FILE,
    SMTPD_TLS_CHAIN_FILES,
    SMTPD_TLS_KEY_FILE,
    TLS_CERTIFICATE_CHECK_INTERVAL,
    TLS_SERVER_SNI_MAPS,
)
from pillarbox.lib.log import log
from pillarbox.lib.process import Program
from pillarbox.lib.tables import TableError
from pillarbox.lib.tables.kept import examine, kept_files
from pillarbox.lib.tls import TlsError, certificate_files, server_context
from pillarbox.master.roster import Station

NO_CERTIFICATE = "there is no certificate"

Look = tuple[str, int, int, int, int]
"""Name, inode, size and times (ns) of a file; zeros for one that is not there."""

Snapshot = tuple[Look, ...]
"""How all files of a service were at one time."""

FILE_PARAMETERS = (
    SMTPD_TLS_CHAIN_FILES,
    SMTPD_TLS_CERT_FILE,
    SMTPD_TLS_KEY_FILE,
    TLS_SERVER_SNI_MAPS,
    SMTPD_TLS_CAFILE,
    SMTPD_TLS_CAPATH,
)
"""What says which files there are."""

CERTIFICATE, TABLE = "certificate", "table"
"""What has changed, in words."""

CHECK_LIMIT = 60
"""Seconds that a check may take before the kernel ends it (file systems of other machines may hang)."""

RELOAD_PATIENCE = 10
"""Seconds that a reload waits for the check of its files; master does nothing else meanwhile."""

ANSWER_LIMIT = 256 * 1024
"""Bytes of a check's answer."""


class Round:
    """One look at all stations: what several of them have in common is looked at once."""

    def __init__(self) -> None:
        self._lists: dict[object, tuple[str, ...]] = {}
        self._files: dict[str, Look] = {}

    def snapshot(self, station: Station) -> Snapshot:
        """How the files of a station are now; empty where it has none."""
        return tuple(self._look(name) for name in (*self._certificates(station), *self._tables(station)))

    def _certificates(self, station: Station) -> tuple[str, ...]:
        config = station.config
        role = station.program.tls(config) if station.program.tls is not None else None
        if role is None:
            return ()
        key = (role.asks, *(config.expanded(parameter.name) for parameter in FILE_PARAMETERS))
        return self._list(key, lambda: certificate_files(config, role))

    def _tables(self, station: Station) -> Iterator[str]:
        for name, specs in tables_of(station.program, station.config).items():
            yield from self._list(specs, partial(kept_files, name, specs))

    def _list(self, key: object, find: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
        names = self._lists.get(key)
        if names is None:
            names = self._lists[key] = find()
        return names

    def _look(self, file: str) -> Look:
        found = self._files.get(file)
        if found is None:
            found = self._files[file] = _look(file)
        return found


def is_watched(station: Station) -> bool:
    """Whether its processes have read something that may change."""
    return station.program.tls is not None or station.program.tables is not None


def tables_of(program: Program, config: Config) -> Mapping[str, tuple[str, ...]]:
    """The tables that a service's processes read and keep, by parameter."""
    return {} if program.tables is None else program.tables(config)


def what_changed(stations: Sequence[Station]) -> Iterator[tuple[str, list[Station]]]:
    """The stations by what they have: certificates, or tables."""
    for word, of_it in (
        (CERTIFICATE, [station for station in stations if station.program.tls is not None]),
        (TABLE, [station for station in stations if station.program.tls is None]),
    ):
        if of_it:
            yield word, of_it


def _look(file: str) -> Look:
    try:
        status = os.stat(file)
    except OSError:
        return file, 0, 0, 0, 0
    return file, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@dataclass(slots=True)
class Check:
    """A child process that tries what is new; it answers with JSON, {service: "" or why not}."""

    pid: int
    answer: int
    """The descriptor to read its answer from."""
    stations: dict[str, tuple[Station, Snapshot]]
    text: bytes = b""


class RenewalWatch:
    """Looks after the files of all stations."""

    def __init__(self) -> None:
        self._next = 0.0
        self._candidates: dict[Station, Snapshot] = {}
        """Files that have changed, as they were at the last look."""
        self._refused: dict[Station, Snapshot] = {}

    def due(self, stations: Iterable[Station], now: float) -> list[tuple[Station, Snapshot]]:
        """The stations whose files are to be tried, once per interval."""
        if now < self._next:
            return []
        watched = [station for station in stations if is_watched(station)]
        intervals = [station.config[TLS_CERTIFICATE_CHECK_INTERVAL] for station in watched]
        interval = min((each for each in intervals if each), default=0.0)
        if not interval:
            self._next = now + 60.0  # a reload may switch it on
            return []
        self._next = now + interval
        look, found = Round(), []
        for station in watched:
            if not station.config[TLS_CERTIFICATE_CHECK_INTERVAL]:
                continue
            present = look.snapshot(station)
            if present in (station.read, self._refused.get(station)):
                self._candidates.pop(station, None)
            elif self._candidates.get(station) == present:
                found.append((station, present))
            else:
                self._candidates[station] = present
        return found

    def rest(self, now: float) -> float:
        """Seconds until `due` looks again."""
        return max(0.0, self._next - now)

    def forget(self, kept: Iterable[Station]) -> None:
        """After a reload: only these are still there."""
        stations = set(kept)
        for notes in (self._candidates, self._refused):
            for station in [each for each in notes if each not in stations]:
                del notes[station]
        self._next = 0.0

    def begin(self, due: Sequence[tuple[Station, Snapshot]], signals: Iterable[signal.Signals]) -> Check | None:
        """Fork the process that tries them.  `signals` are those that master handles; None where there is no fork."""
        ours, theirs = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            pid = os.fork()
        except OSError as error:
            log.error(f"changed files are not tried: fork: {error.strerror}")
            os.close(ours)
            os.close(theirs)
            return None
        else:
            if pid == 0:
                _try([station for station, _ in due], theirs, signals)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        os.close(theirs)
        os.set_blocking(ours, False)
        return Check(pid, ours, {station.service.name: (station, present) for station, present in due})

    def ended(self, check: Check) -> list[Station]:
        """Take the answer of a check; gives the stations whose new files are good."""
        try:
            answer = json.loads(check.text)
        except ValueError:
            answer = {}
        good, bad = [], dict[str, list[Station]]()
        for name, (station, present) in check.stations.items():
            self._candidates.pop(station, None)
            why = answer.get(name, "the check of the new files came to no end")
            if why:
                self._refused[station] = present
                bad.setdefault(why, []).append(station)
            else:
                self._refused.pop(station, None)
                station.read = present
                good.append(station)
        for why, stations in bad.items():
            for word, of_it in what_changed(stations):
                names = ", ".join(station.service.name for station in of_it)
                log.error(f"new {word} not used, the old one stays ({names}): {why}")
        return good


class FilesUnusable(Exception):
    """A new configuration with which processes could not start; the text names services and reason."""


def require_usable(stations: Iterable[Station], signals: Iterable[signal.Signals]) -> None:
    """Try a new configuration before it is put into force, with the files that it names.  Raises FilesUnusable.

    What takes longer than `RELOAD_PATIENCE` is let pass: the processes will say what is wrong.
    """
    due = [(station, ()) for station in stations]
    if not due or (check := RenewalWatch().begin(due, signals)) is None:
        return
    try:
        poller = select.poll()  # select.select() takes no number above 1023, and master may have many sockets
        poller.register(check.answer, select.POLLIN)
        while poller.poll(RELOAD_PATIENCE * 1000):
            if not (data := os.read(check.answer, 65536)):
                break
            check.text += data
        else:
            os.kill(check.pid, signal.SIGKILL)
            return
    finally:
        os.close(check.answer)
        os.waitpid(check.pid, 0)
    try:
        answer: dict[str, str] = json.loads(check.text)
    except ValueError:
        return
    reasons: dict[str, list[str]] = {}
    for name, why in answer.items():
        if why and why != NO_CERTIFICATE:  # the processes know what to do without one
            reasons.setdefault(why, []).append(name)
    if reasons:
        raise FilesUnusable("; ".join(f"{', '.join(names)}: {why}" for why, names in reasons.items()))


def _try(stations: Sequence[Station], answer: int, signals: Iterable[signal.Signals]) -> None:
    """In the child: read everything, say how it went; never returns."""
    try:
        signal.set_wakeup_fd(-1)
        for number in signals:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        signal.alarm(CHECK_LIMIT)
        found = {station.service.name: _trial(station) for station in stations}
        text = json.dumps(found).encode()[:ANSWER_LIMIT]
        while text:
            text = text[os.write(answer, text) :]
    finally:
        os._exit(0)


def _trial(station: Station) -> str:
    """Why a station's files cannot be used, "" where they can."""
    role = station.program.tls(station.config) if station.program.tls is not None else None
    try:
        if role is not None and server_context(station.config, role) is None:
            return NO_CERTIFICATE
        for name, specs in tables_of(station.program, station.config).items():
            examine(name, specs)
        return "; ".join(station.program.obstacles(station.config))
    except (TlsError, TableError, OSError, ValueError) as error:
        return str(error)
