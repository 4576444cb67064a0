"""The same deliveries by a real Postfix's local(8) and by ours: the same mail in the same places, the same fate.

Postfix runs once, with all cases' users and aliases; each case has users of its own.  Ours runs in this process with
cleanup played by the test, so what is sent on within the domain is delivered here again until nothing is left.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pillarbox.lib.tables.aliases import parse_aliases
from tests.local.conftest import House, Person
from tests.local.postfix_cases import CASES, Case
from tests.peers.postfix import Postfix

FIRST_UID = 57000
DOMAIN = "example.com"

LIKENESS = ((re.compile(r"^delivers? to "), "delivered to "),)


@dataclass
class Scene:
    """Where one case happens on one side."""

    case: Case
    number: int
    directory: Path
    uids: dict[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"c{self.number}"

    def home(self, who: str) -> Path:
        return self.directory / "home" / f"{self.label}{who}"

    @property
    def out(self) -> Path:
        return self.directory / "out"

    def text(self, template: str) -> str:
        """A text of the case with its own names."""
        values = {"a": f"{self.label}a", "b": f"{self.label}b", "n": self.label, "UA": f"C{self.number}A"}
        values |= {"N": self.label.upper(), "A": str(self.home("a")), "B": str(self.home("b")), "O": str(self.out)}
        return re.sub(r"@(UA|[abnNABO])(?![A-Za-z.]*\.)", lambda match: values[match[1]], template)

    def prepare(self) -> None:
        """Make the homes and their files."""
        self.out.mkdir(exist_ok=True)
        self.out.chmod(0o777)
        for who, uid in self.uids.items():
            home = self.home(who)
            home.mkdir(parents=True)
            home.chmod(0o755)
            os.chown(home, uid, uid)
        for name, template in self.case.files.items():
            who, _, file = name.partition("/")
            path = self.home(who) / file
            path.write_text(self.text(template))
            path.chmod(self.case.modes.get(name, 0o644))
            owner = self.case.owners.get(name, who)
            uid = 0 if owner == "root" else self.uids[owner]
            os.chown(path, uid, uid)

    def message(self) -> bytes:
        return f"{self.text(self.case.header)}Subject: {self.label}\n\nHello\nFrom here\n".encode()

    @property
    def sender(self) -> str:
        return f"{self.label}-s@far.example"

    @property
    def recipient(self) -> str:
        return self.text(self.case.to)

    def traces(self, spool: Path) -> dict[str, object]:
        """What lies in the mailboxes, homes and elsewhere: messages are counted, other files shown."""
        found: dict[str, object] = {}
        places = [*((self.home(who), f"~{who}/") for who in self.uids), (self.out, "out/")]
        for directory, name in places:
            for path in sorted(directory.rglob("*")):
                relative = str(path.relative_to(directory))
                of_case = directory != self.out or re.match(rf"{self.label}(?!\d)", relative)
                if path.is_file() and of_case and f"{name[1:]}{relative}" not in self.case.files:
                    found[name + re.sub(r"/(new|cur)/.*", "/message", relative)] = self._shown(path)
                elif path.is_file() and of_case and path.stat().st_size and relative == "box":
                    found[name + relative] = self._shown(path)
        for who in self.uids:
            box = spool / f"{self.label}{who}"
            if box.exists() and box.stat().st_size:
                found[f"mailbox of {who}"] = self._shown(box)
        return found

    def _shown(self, path: Path) -> object:
        text = path.read_text(errors="surrogateescape").replace(str(self.directory), "")
        text = re.sub(r"^(From \S+)  .*", r"\1  DATE", text, flags=re.M)
        # What came in is traced differently, and ours goes through the queue for each address on its way.
        text = re.sub(r"^Received: .*\n(?:[ \t].*\n)*", "", text, flags=re.M)
        dropped = "Message-Id|Date|From|To|Delivered-To"
        if "owner-" in self.case.aliases:
            dropped += "|X-Original-To"  # that of a list is the list here, and the member at Postfix
        return re.sub(rf"^({dropped}): .*\n", "", text, flags=re.M | re.I)


# --- Postfix's side


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    top = tmp_path_factory.mktemp("postfix-local")
    for parent in (top, *top.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)
    return [
        Scene(case, number, top, {"a": FIRST_UID + 2 * number, "b": FIRST_UID + 2 * number + 1})
        for number, case in enumerate(CASES)
    ]


@pytest.fixture(scope="module")
def postfix(scenes: list[Scene]) -> Iterator[Postfix]:
    top = scenes[0].directory
    users = []
    aliases = []
    for scene in scenes:
        scene.prepare()
        aliases.append(scene.text(scene.case.aliases))
        for who, uid in scene.uids.items():
            users.append(f"{scene.label}{who}:x:{uid}:{uid}::{scene.home(who)}:/bin/sh")
    passwd = top / "passwd"
    passwd.write_text(Path("/etc/passwd").read_text() + "\n".join(users) + "\n")
    spool = top / "mail"
    spool.mkdir()
    spool.chmod(0o1777)
    (top / "aliases").write_text("".join(aliases))
    parameters = {
        "myorigin": DOMAIN,
        "mydestination": DOMAIN,
        "alias_maps": f"hash:{top}/aliases",
        "mail_spool_directory": str(spool),
        "recipient_delimiter": "+",
        "default_transport": "discard",
        "maximal_queue_lifetime": "1d",
        "minimal_backoff_time": "1h",
        "maximal_backoff_time": "2h",
        "queue_run_delay": "1h",
        "default_destination_concurrency_limit": "5",
    }
    with Postfix(hostname="mx.example.com", parameters=parameters, mounts={passwd: Path("/etc/passwd")}) as running:
        running.run(["postalias", f"hash:{top}/aliases"])
        for scene in scenes:
            running.run(["sendmail", "-i", "-f", scene.sender, scene.recipient], input=scene.message())
        running.wait_for(lambda: _settled(running, scenes), timeout=60)
        yield running


_LINE = re.compile(r"postfix/(\w+)\[\d+\]: ([0-9A-Za-z]+): (.*)")


def _settled(postfix: Postfix, scenes: list[Scene]) -> bool:
    """Whether everything has been tried."""
    waiting = {
        path.name for state in ("incoming", "active") for path in (postfix.queue / state).rglob("*") if path.is_file()
    }
    drop = [path for path in (postfix.queue / "maildrop").iterdir() if path.is_file()]
    return not waiting and not drop and "\n".join(postfix.log_lines()).count("postfix/pickup") >= len(scenes)


def _fates_by_postfix(postfix: Postfix, scene: Scene) -> Counter[tuple[str, ...]]:
    """Status and code of each of the case's recipients at the end, and the senders of what left the house."""
    senders: dict[str, str] = {}
    fates: Counter[tuple[str, ...]] = Counter()
    for line in postfix.log_lines():
        match = _LINE.search(line)
        if match is None:
            continue
        agent, queue_id, text = match.groups()
        if sender := re.match(r"from=<(.*?)>, size", text):
            senders[queue_id] = sender[1]
        elif delivery := re.match(r"to=<(.*?)>,.* dsn=(.*?), status=(\w+) \((.*)\)$", text):
            address, dsn, status, what = delivery.groups()
            sender_of = senders.get(queue_id, "")
            mine = re.compile(rf"\bc{scene.number}(?!\d)", re.I)
            if not sender_of or not (mine.search(address) or mine.search(sender_of)) or what.startswith("forwarded as"):
                continue
            if agent == "discard":
                fates["remote", address, sender_of] += 1
            elif status != "sent":
                fates[_fate(status, dsn, address)] += 1
    return fates


def _fate(status: str, dsn: str, address: str) -> tuple[str, ...]:
    """A loop is found at any of its addresses."""
    return (status, dsn) if dsn == "5.4.6" else (status, dsn, address.lower())


def _countable(fates: Counter[tuple[str, ...]]) -> Counter[tuple[str, ...]]:
    """As they are compared: how often a loop is found depends on where it is looked for."""
    return Counter({fate: 1 if fate[-1] == "5.4.6" else count for fate, count in fates.items()})


# --- our side


def _ours(house: House, scene: Scene) -> tuple[Counter[tuple[str, ...]], dict[str, object]]:
    scene.prepare()
    for who, uid in scene.uids.items():
        name = f"{scene.label}{who}"
        house.people[name] = Person(name, uid, scene.home(who))
    lines = [line.encode() + b"\n" for line in scene.text(scene.case.aliases).splitlines()]
    house.services.aliases = {
        entry.key.lower(): entry.value for entry in parse_aliases(lines, "aliases", lambda warning: None)
    }
    house.options["recipient_delimiter"] = "+"
    fates: Counter[tuple[str, ...]] = Counter()
    pending = [(scene.recipient, "", scene.sender, scene.message())]
    while pending:
        address, original, sender, content = pending.pop()
        (result,) = house.deliver(address, sender=sender, content=content, original=original)
        if result.status != "sent":
            fates[_fate(result.status, result.dsn, address)] += 1
        received, house.services.received = house.services.received, []
        for envelope, sent_on in received:
            for target, before in zip(envelope["recipients"], envelope["originals"], strict=True):  # type: ignore[call-overload]
                if target.endswith(f"@{DOMAIN}"):
                    pending.append((target, before, str(envelope["sender"]), sent_on))
                else:
                    fates["remote", target, str(envelope["sender"])] += 1
        assert sum(fates.values()) < 50, "it goes round"
    return fates, scene.traces(house.spool)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_delivery_is_like_postfixs(house: House, postfix: Postfix, scenes: list[Scene], number: int) -> None:
    theirs = scenes[number]
    ours = Scene(theirs.case, number, house.path / "scene", theirs.uids)
    (house.path / "scene").mkdir()
    fates, traces = _ours(house, ours)
    expected = _fates_by_postfix(postfix, theirs)
    assert traces == theirs.traces(theirs.directory / "mail")
    if theirs.case.waits:
        ((status, code, _),) = expected
        assert (status, code[0]) == ("bounced", "5")
        ((status, code, _),) = fates
        assert (status, code[0]) == ("deferred", "4")
    else:
        assert _countable(fates) == _countable(expected)
