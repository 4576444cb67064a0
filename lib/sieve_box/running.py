"""Running a user's scripts on a message: those of the site before, the user's, those of the site after.

A script that does not keep the message ends the sequence; the next one sees it with the flags and the header that the
one before gave it.  An error in a user's script leaves the message where it would go without one, and the user is told;
an error in a script of the site is the administrator's, and mail waits for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Final

from pillarbox.lib.config import Config
from pillarbox.lib.config.expansion import expand
from pillarbox.lib.config.parameter import joined
from pillarbox.lib.config.parameters import sieve as parameters
from pillarbox.lib.config.parameters.general import MYHOSTNAME, RECIPIENT_DELIMITER
from pillarbox.lib.config.parameters.imapd import IMAP_SPECIAL_USE
from pillarbox.lib.delivery import Content
from pillarbox.lib.sieve import Result, Script, SieveMessage, SieveState, execute
from pillarbox.lib.sieve.actions import Action, Keep, Remember
from pillarbox.lib.sieve.limits import Limits
from pillarbox.lib.sieve_box.content import split
from pillarbox.lib.sieve_box.folders import Folders, special_use_of
from pillarbox.lib.sieve_box.remembered import Remembered
from pillarbox.lib.sieve_box.scores import Scores
from pillarbox.lib.sieve_box.scripts import ScriptCache, ScriptTrouble
from pillarbox.lib.sieve_box.usage import Usage
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.system.processor_time import Budget, OutOfTime, limited

_NOT_RUN: Final = "the script has taken too much processor time for several messages, and is not run for a while"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose mail it is: the home directory, and what `$user` and `$domain` stand for."""

    home: str
    user: str
    domain: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message for one recipient."""

    queue_id: str
    sender: str
    recipient: str
    content: Content
    original: str = ""
    """The address before rewriting, "" = the same."""
    folder: str = ""
    """Where mail goes that is just kept; "" is INBOX."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Of the delivery request: client_name, client_address, sasl_username ..."""


def first_mark(incoming: Incoming, identification: str) -> str:
    """By which it is known that it was this message for which `identification` was remembered first."""
    return f"{incoming.queue_id}\0{incoming.recipient}\0{identification}"


@dataclass(slots=True)
class Ran:
    """What the scripts of one message said: actions in order, without implicit decisions left to make."""

    header: bytes
    """The message's own header block."""
    actions: list[Action] = field(default_factory=list)
    remember: list[Remember] = field(default_factory=list)
    error: str = ""


class Scripts:
    """The scripts of all users, as the configuration places them; one per process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._cache = ScriptCache.configured(config)
        self._site = (config[parameters.SIEVE_BEFORE], config[parameters.SIEVE_AFTER])
        self._for_all = bool(any(self._site) or config[parameters.SIEVE_DEFAULT])
        self._paths = lru_cache(1024)(self._expanded)

    def place(self, parameter: str, owner: Owner) -> str:
        """The value of one of the parameters with `$home` in it, for a user; "" where it is off."""
        return self._paths(parameter, owner)

    def _expanded(self, parameter: str, owner: Owner) -> str:
        macros = {"home": owner.home, "user": owner.user, "domain": owner.domain}

        def value(name: str) -> str:
            if name in macros:
                return macros[name].replace("$", "$$")
            try:
                return joined(self._config.raw(name))
            except KeyError:
                return ""

        return expand(joined(self._config.raw(parameter)), value)

    def any(self, owner: Owner) -> bool:
        """Whether there is one, at a glance."""
        if self._for_all:
            return True
        path = self.place(parameters.SIEVE.name, owner)
        return bool(path) and os.path.lexists(path)

    def of(self, owner: Owner) -> list[tuple[Script | str, bool]]:
        """The scripts in their order; the flag says "the user's own", a text in place of one what is wrong with it.

        Raises DeliveryFailure where a script of the site cannot be had.
        """
        if not self.any(owner):
            return []
        before, after = self._site
        default = self._config[parameters.SIEVE_DEFAULT]
        path = self.place(parameters.SIEVE.name, owner)
        personal = self.place(parameters.SIEVE_DIR.name, owner)
        found: list[tuple[Script | str, bool]] = [(self._of_site(path, personal), False) for path in before]
        try:
            own = self._cache.get(path, personal) if path else None
        except ScriptTrouble as trouble:
            found.append((str(trouble), True))
        else:
            if own is not None:
                found.append((own, True))
            elif default:
                found.append((self._of_site(default, personal), False))
        found += [(self._of_site(path, personal), False) for path in after]
        return found

    def _of_site(self, path: str, personal: str) -> Script:
        try:
            script = self._cache.get(path, personal)
        except ScriptTrouble as trouble:
            raise DeliveryFailure("4.3.5", f"sieve script {trouble}") from None
        if script is None:
            raise DeliveryFailure("4.3.5", f"sieve script {path}: No such file")
        return script


class Runner:
    """Runs scripts; one per process.  `clock` gives seconds since the epoch."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._time = config[parameters.SIEVE_MAX_CPU_TIME]
        self._usage = Usage(self._time, config[parameters.SIEVE_RESOURCE_USAGE_TIMEOUT], clock)
        self._delimiters = config[RECIPIENT_DELIMITER]
        self._special_use = special_use_of(config[IMAP_SPECIAL_USE])
        self._scores = Scores(config)
        self._limits = Limits(
            actions=config[parameters.SIEVE_MAX_ACTIONS], redirects=config[parameters.SIEVE_MAX_REDIRECTS]
        )
        host = config[MYHOSTNAME]
        self._environment = {
            "domain": host.partition(".")[2],
            "host": host,
            "location": "MDA",
            "name": "Pillarbox",
            "phase": "during",
        }

    def run(
        self,
        owner: Owner,
        scripts: Iterable[tuple[Script | str, bool]],
        incoming: Incoming,
        folders: Folders,
        memory: Remembered,
    ) -> Ran:
        """What the scripts say.  Raises OSError, EOFError where the message cannot be read."""
        header, _ = split(incoming.content)
        ran = Ran(header)
        budget = Budget(self._time)
        state = self._state(header, incoming, folders, memory)
        keep = Keep(implicit=True)
        for script, own in scripts:
            if isinstance(script, str):
                ran.error = script
                break
            if own and self._usage.used_up(owner.home):
                ran.error = _NOT_RUN
                break
            left = budget.left
            result = self._execute(script, keep.header if keep.header is not None else header, incoming, state, budget)
            if own:
                self._usage.add(owner.home, left - budget.left)
            ran.remember += result.remember
            if result.error:
                ran.error = result.error
                break
            kept = [action for action in result.actions if isinstance(action, Keep)]
            ran.actions += [action for action in result.actions if not isinstance(action, Keep)]
            if not kept:
                return ran
            last = kept[-1]
            keep = replace(
                last,
                flags=last.flags if last.flags or not last.implicit else keep.flags,
                header=last.header if last.header is not None else keep.header,
            )
        ran.actions.append(keep)
        return ran

    def _execute(self, script: Script, header: bytes, incoming: Incoming, state: SieveState, budget: Budget) -> Result:
        content = incoming.content
        failures: list[Exception] = []

        def body() -> Iterator[bytes]:
            try:
                yield from split(content)[1]
            except (OSError, EOFError) as error:
                failures.append(error)
                raise

        envelope = {"from": incoming.sender, "to": incoming.recipient}
        if user := incoming.attributes.get("sasl_username"):
            envelope["auth"] = user
        message = SieveMessage(header, content.size, body, envelope)
        try:
            with limited(budget):
                result = execute(script, message, state)
        except OutOfTime:
            return Result((), f"the scripts need more than {self._time:g} seconds of processor time")
        except Exception as error:  # a fault of ours, or of the disk
            if failures:
                raise failures[0] from None
            return Result((), f"internal error: {type(error).__name__}: {error}")
        if failures:
            raise failures[0]
        return result

    def _state(self, header: bytes, incoming: Incoming, folders: Folders, memory: Remembered) -> SieveState:
        now = self._clock()
        attributes = incoming.attributes
        environment = dict(self._environment)
        if address := attributes.get("client_address"):
            environment["remote-ip"] = address
        if name := attributes.get("client_name"):
            environment["remote-host"] = name
        special_use = self._special_use

        def with_attribute(attribute: str) -> tuple[str, ...]:
            return tuple(name for name in special_use.get(attribute.lower(), ()) if folders.exists(name))

        return SieveState(
            now=now,
            zone=_zone(now),
            environment=environment,
            delimiters=self._delimiters or "+",
            mailbox_exists=folders.exists,
            special_use=with_attribute,
            duplicate_seen=lambda identification, seconds: (
                memory.knows("duplicate", identification)
                and not memory.knows("first", first_mark(incoming, identification))
            ),
            spam_score=lambda: self._scores.spam(header),
            virus_score=lambda: self._scores.virus(header),
            limits=self._limits,
        )


def _zone(now: float) -> tzinfo:
    zone = datetime.fromtimestamp(now).astimezone().tzinfo
    assert zone is not None
    return zone
