"""The supervisor's loop: fork, watch, wake, throttle, reload, stop.

One thread, one selector.  It waits for status bytes of its children, for the death of a child, for signals, and, only
for services whose processes are all full, for a client to knock.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from pillarbox.lib.config import Config, ConfigError, Service
from pillarbox.lib.config.parameters.general import DRAIN_TIMEOUT, SERVICE_THROTTLE_TIME, SYSLOG_NAME
from pillarbox.lib.config.parameters.smtpd_tls import SMTPD_TLS_SESSION_CACHE_TIMEOUT
from pillarbox.lib.log import log
from pillarbox.lib.process import Worker
from pillarbox.lib.process.loop import preload
from pillarbox.lib.process.worker import FAILED, FREE, FULL, READY, WAKE, enter
from pillarbox.lib.system.heap import share_heap
from pillarbox.lib.system.notify import Notifier
from pillarbox.lib.system.privileges import PrivilegeError
from pillarbox.lib.tables import TableError
from pillarbox.lib.tables.kept import open_kept
from pillarbox.lib.tls.tickets import TicketKeys, ticket_keys
from pillarbox.master import programs
from pillarbox.master.renewal import Check, FilesUnusable, Round, require_usable, tables_of
from pillarbox.master.replacement import Replacement
from pillarbox.master.roster import STAGES, Child, Station, in_stage
from pillarbox.master.sockets import BindError, bind_service
from pillarbox.master.throttle import Throttle

KILL_GRACE = 5.0
"""Seconds after the drain limit until a process that does not end is killed."""

TURN = 1.0
"""Seconds between two looks at what the clock decides: pauses that end, wake-ups."""

WATCHDOG_SIGNAL = signal.SIGALRM

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
"""What the supervisor listens to."""

Inside = Callable[[Worker], None]


class StartFailed(Exception):
    """The suite could not be started; the text says why."""


UNUSABLE = (BindError, FilesUnusable, ImportError, PrivilegeError, TableError)
"""Why a configuration that can be read may not be usable."""


class Supervisor:
    """Runs the services of one instance.

    `reload_config` reads the configuration again; `own_descriptors` are the master's, closed in every worker; `inside`
    is code that every worker runs once it is confined (for the breach tests; nothing outside the caller's own code can
    set it).
    """

    def __init__(
        self,
        config: Config,
        reload_config: Callable[[], Config],
        *,
        own_descriptors: Sequence[int] = (),
        inside: Inside | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._reload_config = reload_config
        self.own_descriptors = list(own_descriptors)
        self._inside = inside
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._stations: dict[str, Station] = {}
        self._retired: list[Station] = []
        self._children: dict[int, Child] = {}
        self._replacement = Replacement(self._selector, clock, SIGNALS)
        self._tickets: dict[str, TicketKeys] = {}
        self._knocking: dict[socket.socket, Station] = {}
        self._stop_stage: int | None = None
        self._stop_deadline = 0.0
        self._reload_asked = False
        self._failures: list[str] = []
        self._notifier = Notifier()
        self._next_sign_of_life = 0.0
        self._starting = True

    # --- the life of the suite
    def start(self) -> None:
        """Bind all sockets, fork all warm workers, wait until each is ready.  Raises StartFailed; nothing then runs."""
        gc.disable()  # what is made from here on stays: looking for garbage in it is a tenth of the work of a start
        try:
            for service in self.config.services.values():
                self._stations[service.name] = self._station(service, self.config)
        except UNUSABLE as error:
            self._close_listeners()
            raise StartFailed(str(error)) from None
        preload()
        share_heap()
        gc.enable()
        self._catch_signals()
        while not self._all_ready():
            self._turn(0.2)
            if self._failures:
                reason = self._failures[0]
                self.stop_now()
                raise StartFailed(reason)
            if self._stop_stage is not None:
                self.stop_now()
                raise StartFailed("stopped while starting")
        self._starting = False

    def run(self) -> None:
        """Supervise until told to stop."""
        self._notifier.ready()
        while not self._finished():
            self._turn(TURN)
            if self._reload_asked:
                self._reload_asked = False
                self._reload()

    def _all_ready(self) -> bool:
        return all(
            any(child.ready for child in station.children.values())
            for station in self._stations.values()
            if station.warm
        )

    def _finished(self) -> bool:
        return self._stop_stage is not None and not self._children

    def _turn(self, longest: float) -> None:
        now = self._clock()
        self._start_missing(now)
        self._listen_for_knocks(now)
        self._wake(now)
        if self._stop_stage is not None:
            self._advance_stop(now)
        elif not self._starting:
            self._replacement.look(self._stations.values(), now)
            self._replacement.bound(self._children.values(), now)
            longest = min(longest, self._replacement.rest(now))
        for keys in self._tickets.values():
            keys.advance()
        if self._notifier.watchdog_interval and now >= self._next_sign_of_life:
            self._next_sign_of_life = now + self._notifier.watchdog_interval / 2
            self._notifier.watchdog()
        for key, _ in self._selector.select(longest if self._stop_stage is None else 0.05):
            source = key.data
            if isinstance(source, Child):
                self._status(source)
            elif isinstance(source, Station):
                self._knock(source)
            elif isinstance(source, Check):
                self._replacement.answered(source)
            else:
                self._signals()
        self._reap()

    # --- starting workers
    def _station(self, service: Service, config: Config, inherited: Sequence[socket.socket] = ()) -> Station:
        program = programs.load_program(service.command)
        view = config.for_service(service)
        for name, specs in tables_of(program, view).items():
            open_kept(name, specs)  # a type that cannot be kept is a mistake in the configuration
        listeners = bind_service(view, service, *programs.socket_owners(program, view), inherited=inherited)
        station = Station(service, program, view, listeners, Throttle(config[SERVICE_THROTTLE_TIME]))
        if service.wakeup:
            station.next_wakeup = self._clock() + service.wakeup
        station.read = Round().snapshot(station)
        station.tickets = self._ticket_keys(station)
        return station

    def _ticket_keys(self, station: Station) -> TicketKeys | None:
        """The keys of a service's session tickets: they outlive a reload."""
        if station.program.tls is None or station.program.tls(station.config) is None:
            return None
        name, lifetime = station.service.name, station.config[SMTPD_TLS_SESSION_CACHE_TIMEOUT]
        known = self._tickets.get(name)
        if known is None or known.lifetime != lifetime:
            made = ticket_keys(name, lifetime)
            if made is None:
                return None
            self._tickets[name] = known = made
        return known

    def _start_missing(self, now: float) -> None:
        if self._stop_stage is not None:
            return
        for station in self._stations.values():
            while station.wanted(now) and not self._waits_for_predecessor(station):
                if not self._fork(station):
                    break

    def _waits_for_predecessor(self, station: Station) -> bool:
        """A service with one process has at most one, also while a reload replaces it."""
        return station.service.processes == 1 and any(
            old.children for old in self._retired if old.service.name == station.service.name
        )

    def _fork(self, station: Station) -> bool:
        ours, theirs = socket.socketpair()
        spare = len(station.current()) >= station.warm
        announce = not station.announced
        # Until the child has its own handlers a signal to it would be taken by ours, which tell the supervisor; so it
        # waits until the child's `enter` lets signals in.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            log.error(f"{station.service.name}: fork: {error.strerror}")
            ours.close()
            theirs.close()
            station.throttle.died(0.0, self._clock())
            return False
        if pid == 0:
            ours.close()
            self._become(station, theirs, spare=spare, announce=announce)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        theirs.close()
        ours.setblocking(False)
        station.announced = True
        child = Child(pid, ours, station, self._clock(), generation=station.generation)
        station.children[pid] = child
        self._children[pid] = child
        self._selector.register(ours, selectors.EVENT_READ, child)
        return True

    def _become(self, station: Station, status: socket.socket, *, spare: bool, announce: bool) -> NoReturn:
        """In the child: let go of everything that is another service's, then be the worker."""
        try:
            signal.set_wakeup_fd(-1)
            self._selector.close()
            self._waker.close()
            self._wake_end.close()
            for child in self._children.values():
                child.status.close()
            self._notifier.close()
            self._replacement.let_go()
            for descriptor in self.own_descriptors:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
            for other in (*self._stations.values(), *self._retired):
                for listener in other.listeners:
                    if listener not in station.listeners:
                        listener.close()
            for keys in self._tickets.values():
                if keys is not station.tickets:
                    keys.wipe()
            worker = Worker(
                station.program,
                station.service,
                station.config,
                station.listeners,
                status,
                spare=spare,
                tickets=station.tickets,
            )
        except BaseException:
            os._exit(70)
        enter(worker, announce=announce, inside=self._inside)

    def _listen_for_knocks(self, now: float) -> None:
        wanted: dict[socket.socket, Station] = {}
        if self._stop_stage is None:
            for station in self._stations.values():
                if station.crowded(now) and not self._waits_for_predecessor(station):
                    wanted.update(dict.fromkeys(station.listeners, station))
        for listener, station in self._knocking.items():
            if wanted.get(listener) is not station:  # after a reload the same socket belongs to another station
                self._selector.unregister(listener)
        for listener, station in wanted.items():
            if self._knocking.get(listener) is not station:
                self._selector.register(listener, selectors.EVENT_READ, station)
        self._knocking = wanted

    def _knock(self, station: Station) -> None:
        """A client waits, and no process is free for it."""
        if station.crowded(self._clock()):
            self._fork(station)

    def _wake(self, now: float) -> None:
        for station in self._stations.values():
            if station.next_wakeup and now >= station.next_wakeup:
                station.next_wakeup = now + station.service.wakeup
                children = station.serving()[:1]
                for child in children:
                    child.send(WAKE)
                if not children and self._stop_stage is None and station.crowded(now):
                    self._fork(station)  # where none is kept warm; it does at start what it does when woken

    # --- what children say, and how they end
    def _status(self, child: Child) -> None:
        try:
            data = child.status.recv(2048)
        except OSError:
            return
        if not data:
            self._selector.unregister(child.status)
            return
        text, _, reason = data.partition(FAILED)
        for byte in text:
            message = bytes((byte,))
            if message == READY:
                child.ready = True
                self._replacement.relieve(child.station)
            elif message in (FULL, FREE):
                child.full = message == FULL
        if reason and self._starting:
            self._failures.append(f"{child.station.service.name}: {reason.decode('utf-8', 'replace')}")

    def _reap(self) -> None:
        for pid in tuple(self._children):
            try:
                done, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                done, status = pid, 0
            if done:
                self._buried(self._children.pop(pid), status)

    def _buried(self, child: Child, status: int) -> None:
        station = child.station
        if child.status.fileno() in self._selector.get_map():
            self._status(child)  # its last words
        if child.status.fileno() in self._selector.get_map():
            self._selector.unregister(child.status)
        child.status.close()
        del station.children[child.pid]
        name, code = station.service.name, os.waitstatus_to_exitcode(status)
        if child.stopping or (child.retiring and code == 0):
            return
        if code == 0:
            # It has ended of its own accord, as spare processes do, and others that want to begin anew.
            station.throttle.ended(self._clock() - child.started, self._clock())
            return
        if code < 0:
            number = -code
            why = "ended by its watchdog: it hung" if number == WATCHDOG_SIGNAL else f"killed by signal {number}"
        else:
            why = f"exit status {code}"
        now = self._clock()
        pause = station.throttle.died(now - child.started, now)
        later = f" -- the service starts again in {pause:g}s" if pause else ""
        log.warning(f"process {station.program.name} pid {child.pid} of service {name} {why}{later}")
        if self._starting:
            self._failures.append(f"{name}: the process ended at once ({why})")

    # --- signals, reload and stop
    def _catch_signals(self) -> None:
        self._waker, self._wake_end = socket.socketpair()
        for end in (self._waker, self._wake_end):
            end.setblocking(False)
        for number in SIGNALS:
            signal.signal(number, lambda _number, _frame: None)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wake_end.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._waker, selectors.EVENT_READ, None)

    def _signals(self) -> None:
        try:
            numbers = self._waker.recv(256)
        except BlockingIOError:
            return
        if signal.SIGHUP in numbers:
            self._reload_asked = True
        if (signal.SIGTERM in numbers or signal.SIGINT in numbers) and self._stop_stage is None:
            log.info("terminating: draining sessions")
            self._notifier.stopping()
            self._stop_stage = -1

    def _reload(self) -> None:
        self._notifier.reloading()
        try:
            config = self._reload_config()
            stations = self._new_stations(config)
        except (ConfigError, StartFailed, *UNUSABLE) as error:
            log.error(f"reload refused, the old configuration stays: {'; '.join(str(error).splitlines())}")
            self._notifier.ready()
            return
        old = list(self._stations.values())
        kept = {id(listener) for station in stations.values() for listener in station.listeners}
        self.config, self._stations = config, stations
        self._listen_for_knocks(self._clock())
        for station in old:
            station.retired = True
            self._dismiss(station, gently=station.program.retires and station.service.processes > 1)
            for listener in station.listeners:
                if id(listener) not in kept:
                    listener.close()
            station.listeners = [listener for listener in station.listeners if id(listener) in kept]
        self._retired = [station for station in (*self._retired, *old) if station.children]
        self._replacement.forget(stations.values())
        gc.collect()
        share_heap()
        log.info(f"reload -- configuration {config.expanded('config_directory')}")
        self._notifier.ready()

    def _new_stations(self, config: Config) -> dict[str, Station]:
        """The stations of a new configuration; sockets that stay the same are taken over."""
        stations: dict[str, Station] = {}
        fresh: list[socket.socket] = []
        try:
            for service in config.services.values():
                old = self._stations.get(service.name)
                inherited = old.listeners if old is not None else []
                station = stations[service.name] = self._station(service, config, inherited)
                fresh += [listener for listener in station.listeners if listener not in inherited]
            require_usable(stations.values(), SIGNALS)
        except UNUSABLE:
            for listener in fresh:
                listener.close()
            raise
        return stations

    def _dismiss(self, station: Station, *, gently: bool = False) -> None:
        """Tell a service's processes to drain and end; `gently`: to end when their sessions have."""
        for child in station.children.values():
            if gently:
                self._replacement.retire(child)
            else:
                child.drain()

    def _advance_stop(self, now: float) -> None:
        """Stop from outside in, so that what still runs finds the helpers it needs."""
        assert self._stop_stage is not None
        everything = [*self._stations.values(), *self._retired]
        stage = [station for station in in_stage(everything, self._stop_stage) if station.children]
        if stage:
            for station in stage:
                self._dismiss(station)
                if now > self._stop_deadline:
                    for child in station.children.values():
                        if not child.killed:
                            child.killed = True
                            log.warning(f"process {station.program.name} pid {child.pid} does not end: killed")
                            child.signal(signal.SIGKILL)
        elif self._stop_stage < STAGES[-1]:
            self._stop_stage += 1
            self._stop_deadline = now + self.config[DRAIN_TIMEOUT] + KILL_GRACE

    def stop_now(self) -> None:
        """End all workers at once, as after a start that failed."""
        for child in self._children.values():
            child.drain()
        deadline = self._clock() + KILL_GRACE
        while self._children:
            time.sleep(0.01)
            self._reap()
            if self._clock() > deadline:
                for child in self._children.values():
                    child.signal(signal.SIGKILL)
        self._close_listeners()

    def _close_listeners(self) -> None:
        for station in self._stations.values():
            for listener in station.listeners:
                listener.close()

    def title(self) -> str:
        """What `ps` shows for the supervisor."""
        return f"{self.config[SYSLOG_NAME]}: master"
