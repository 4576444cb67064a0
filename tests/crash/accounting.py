"""Which message was lost, and for each copy too many: what exactly made it.

The hosts say of each copy when its content was asked for, began, was complete, and when the reply was written, and from
which port it came.  The log says which process delivered it, and when it was recorded: the queue manager's line
`removed`.  The harness says which process it killed, between which moments, and which connections that process had.

A copy is followed by another only for one of these causes, and a cause counts for one pair of copies of a message:

    unsent       the host did not send its reply to the earlier copy (on purpose): RFC 1047's window
    swallowed    the network swallowed that reply, and the client says that it waited in vain
    PROGRAM      who carried it (its smtp_client), or was to record it (qmgr), or both (all) was killed: after the host
                 had written its reply, and before the delivery was recorded
    PROGRAM, on its way
                 the same, before the host had written the reply, but after it had asked for the content

Whatever else there is more than once has no explanation; never has a copy that began after the former was recorded, or
one whose content began to come when the queue manager that had ordered it was dead.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.lab.takings import Taking

NOTICE = 0.1
"""Seconds within which an agent must have noticed that its queue manager is dead: a turn of its loop, on a busy
machine."""

SKEW = 0.005
"""Seconds by which moments that different processes noted may be wrong against each other."""

ON_ITS_WAY = ", on its way"

HOLDERS = ("qmgr", "smtp_client", "all")
"""Programs whose end may leave a delivery that was made and not recorded."""

_RECIPIENT = re.compile(r"to=<([^>]*)>")


@dataclass(frozen=True, slots=True)
class Kill:
    """A program was killed: alive at `before`, dead at `after`."""

    program: str
    pid: int
    before: float
    after: float
    connections: frozenset[tuple[str, int]] = frozenset()
    """Those that a client had: the server's address, the own port."""
    under_way: int = 0
    """Connections that the hosts had open."""


@dataclass(frozen=True, slots=True)
class Swallowing:
    """The network lost what went to a host, for a while."""

    network: str
    begun: float
    ended: float

    def covers(self, address: str, when: float) -> bool:
        """Whether something sent to the address at that time was lost."""
        prefix = self.network.removesuffix("0.0/16")
        return address.startswith(prefix) and self.begun - SKEW <= when <= self.ended + SKEW


@dataclass(slots=True)
class Life:
    """What the log says of the message to one recipient."""

    queue_ids: set[str] = field(default_factory=set)
    sent: list[tuple[float, int]] = field(default_factory=list)
    """When a process (its id) had delivered it."""
    taken_up: list[tuple[float, int]] = field(default_factory=list)
    """When a queue manager (its process id) had taken it up."""
    failed: list[float] = field(default_factory=list)
    """When a conversation had broken off behind the content."""
    removed: float = 0.0


@dataclass
class Account:
    """What happened."""

    accepted: int
    kills: list[Kill]
    lost: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    """Those of which a host has not got all."""
    doubled: int = 0
    """Messages that were taken more than once."""
    causes: Counter[str] = field(default_factory=Counter)
    """For each cause, the copies that came because of it."""
    exposed: Counter[str] = field(default_factory=Counter)
    """For each program, the copies whose content had been asked for and that were not recorded when it was killed."""
    under_way: Counter[str] = field(default_factory=Counter)
    """For each program, the connections that the hosts had open when it was killed."""
    latest: float = 0.0
    """The longest time between the end of a queue manager and the first octet of content that it had ordered."""
    unexplained: list[str] = field(default_factory=list)
    corrupt: int = 0

    def __str__(self) -> str:
        kills = Counter(kill.program for kill in self.kills)
        summary = (
            f"{self.accepted} messages accepted, {len(self.lost)} lost, {len(self.cut)} cut, {self.doubled} taken more "
            f"than once, {len(self.unexplained)} without an explanation; {sum(kills.values())} kills"
        )
        lines = [
            summary,
            f"copies more, by cause: {dict(self.causes.most_common())}",
        ]
        for program in HOLDERS:
            more = self.causes[program] + self.causes[program + ON_ITS_WAY]
            lines.append(
                f"{program}: {kills[program]} kills, {self.under_way[program]} connections open and "
                f"{self.exposed[program]} copies given and not recorded at these moments, {more} came again"
            )
        lines.append(f"content that began after the end of its queue manager: {self.latest * 1000:.0f} ms at most")
        lines.append(f"others killed: {dict(kills - Counter({name: kills[name] for name in HOLDERS}))}")
        return "\n".join([*lines, *self.unexplained[:20]])


def draw_up(
    accepted: Mapping[str, int],
    kills: list[Kill],
    swallowings: list[Swallowing],
    takings: list[Taking],
    log: Iterable[str],
    offset: float,
) -> Account:
    """The account.  `accepted` has the recipient and the size of each message that we took; `log` has JSON lines, whose
    times are `offset` seconds before those of the monotonic clock."""
    lives = read_log(log, offset)
    copies: dict[str, list[Taking]] = defaultdict(list)
    for taking in takings:
        copies[taking.recipient].append(taking)
    account = Account(len(accepted), kills)
    # A reply that was not sent does not count as taken: we have to bring the message again.
    account.lost = [each for each in accepted if not any(taking.replied for taking in copies[each])]
    account.cut = [each for each, size in accepted.items() if any(taking.size < size for taking in copies[each])]
    for kill in kills:
        account.under_way[kill.program] += kill.under_way
    for recipient, of_one in copies.items():
        _judge(
            account,
            recipient,
            sorted(of_one, key=lambda taking: taking.begun),
            lives.get(recipient, Life()),
            swallowings,
        )
    return account


def _judge(account: Account, recipient: str, copies: list[Taking], life: Life, swallowings: list[Swallowing]) -> None:
    for copy, following in itertools.zip_longest(copies, copies[1:]):
        end = following.begun if following is not None else life.removed or copy.replied
        for kill in account.kills:
            if not copy.lost and kill.before <= end + SKEW and _hit(copy, kill, life):
                account.exposed[kill.program] += 1
    if len(copies) < 2:
        return
    account.doubled += 1
    if len(life.queue_ids) != 1:
        account.unexplained.append(f"{recipient}: is {len(life.queue_ids)} messages of ours")
        return
    left = list(account.kills)
    for earlier, later in itertools.pairwise(copies):
        reason = _cause(account, earlier, later, life, left, swallowings)
        if reason is None:
            account.unexplained.append(_shown(recipient, earlier, later, life, account.kills))
        else:
            account.causes[reason] += 1


def _cause(
    account: Account, earlier: Taking, later: Taking, life: Life, left: list[Kill], swallowings: list[Swallowing]
) -> str | None:
    if life.removed and later.begun > life.removed + SKEW:
        return None
    if earlier.lost:
        return "unsent"
    if any(each.covers(earlier.server, earlier.replied) for each in swallowings) and any(
        earlier.taken - SKEW <= when <= later.begun + SKEW for when in life.failed
    ):
        return "swallowed"
    for kill in left:
        if kill.before > later.begun + SKEW or not _hit(earlier, kill, life):
            continue
        if kill.program == "qmgr":
            late = earlier.first - kill.after
            if late > NOTICE:
                continue
            account.latest = max(account.latest, late)
        left.remove(kill)
        return kill.program if earlier.replied and earlier.replied <= kill.after else kill.program + ON_ITS_WAY
    return None


def _hit(copy: Taking, kill: Kill, life: Life) -> bool:
    """Whether who carried this copy, or was to record it, was killed after its content was asked for and before it was
    recorded."""
    if kill.after < copy.begun - SKEW or (life.removed and kill.before > life.removed + SKEW):
        return False
    match kill.program:
        case "smtp_client":
            told = next((pid for when, pid in life.sent if when >= copy.taken - SKEW), 0)
            return (copy.server, copy.port) in kill.connections or kill.pid == told
        case "qmgr":
            return kill.pid == next((pid for when, pid in reversed(life.taken_up) if when <= copy.begun + SKEW), 0)
        case program:
            return program == "all"


def _shown(recipient: str, earlier: Taking, later: Taking, life: Life, kills: list[Kill]) -> str:
    zero = earlier.begun
    near = [
        f"{kill.program}[{kill.pid}]@{kill.before - zero:.3f}..{kill.after - zero:.3f}"
        for kill in kills
        if -1 < kill.before - zero < later.begun - zero + 1
    ]
    return (
        f"{recipient}: content asked for 0, first {earlier.first - zero:.3f}, taken {earlier.taken - zero:.3f}, "
        f"replied {earlier.replied - zero if earlier.replied else 0:.3f}; again {later.begun - zero:.3f}; sent by the "
        f"log {[(round(when - zero, 3), pid) for when, pid in life.sent]}, broken off "
        f"{[round(when - zero, 3) for when in life.failed]}, removed "
        f"{life.removed - zero if life.removed else 0:.3f}; kills {' '.join(near)}"
    )


def read_log(lines: Iterable[str], offset: float) -> dict[str, Life]:
    """What the log says, by recipient."""
    lives: dict[str, Life] = defaultdict(Life)
    of_id: dict[str, Life] = {}
    taken_up: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for line in lines:
        if not line.startswith("{") or not line.endswith("}"):
            continue
        record = json.loads(line)
        queue_id, text, when = record.get("queue_id"), record["message"], record["time"] + offset
        if queue_id is None:
            continue
        if text == "removed":
            if queue_id in of_id:
                of_id[queue_id].removed = when
        elif text.endswith("(queue active)"):
            taken_up[queue_id].append((when, record["pid"]))
        elif found := _RECIPIENT.match(text):
            life = of_id[queue_id] = lives[found[1]]
            life.queue_ids.add(queue_id)
            life.taken_up = taken_up[queue_id]
            if "status=sent" in text:
                life.sent.append((when, record["pid"]))
            elif "end of data" in text or "sending message body" in text:
                life.failed.append(when)
    return lives
