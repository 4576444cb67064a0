"""What restrictions may ask about, in dictionaries; and one decision from start to end.

world = World(settings, tables={"hash:clients": {"192.0.2.1": "REJECT"}})
world.rcpt()                                     # "ok" or the refusal's text
world.outcome                                    # all that came of it
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pillarbox.lib.clients.lookup import AccessValue, RecipientVerdict, Route
from pillarbox.lib.config import Config
from pillarbox.lib.dns import MX, Absent, Answer, ClientName, Failed, RecordType
from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.policy.facts import Facts, Key, Trouble
from pillarbox.smtpd.policy.lists import evaluate
from pillarbox.smtpd.policy.outcome import Missing, Outcome
from pillarbox.smtpd.policy.settings import configured_settings

CLIENT = "192.0.2.1"
OURS = "u@ours.test"
THEIRS = "u@far.test"


@dataclass
class World:
    """`parameters` are those of main.yaml; `facts` are fields of Facts that differ from a stranger's usual RCPT."""

    parameters: dict[str, str] = field(default_factory=dict)
    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    dns: dict[tuple[str, str], Any] = field(default_factory=dict)
    policy: dict[str, str | None] = field(default_factory=dict)
    broken: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings = configured_settings(Config.for_tests(**self.parameters))
        self.asked: list[Key] = []
        self.rounds = 0
        self.outcome = Outcome()

    def decide(self, stage: str = "RCPT", deferral: Reply | None = None, **facts: Any) -> str:
        """Evaluate until nothing is missing, each fact asked for once."""
        usual: dict[str, Any] = {
            "address": CLIENT,
            "port": 4711,
            "name": ClientName("mx.client.test", "ok", "mx.client.test", "ok"),
            "helo": "mx.client.test",
            "verb": "EHLO",
            "protocol": "ESMTP",
            "sender": "a@b.test",
            "recipient": OURS,
            **self.facts,
            **facts,
        }
        usual.setdefault("given_sender", usual["sender"] or "")
        usual.setdefault("given_recipient", usual["recipient"] or "")
        known: dict[Key, object] = {}
        self.rounds = 0
        while True:
            self.rounds += 1
            outcome = evaluate(self.settings, stage, Facts(**usual), known.__getitem__, deferral)
            if isinstance(outcome, Outcome):
                self.outcome = outcome
                return "ok" if outcome.refusal is None else str(outcome.refusal)
            assert isinstance(outcome, Missing)
            assert not set(outcome.keys) & set(known), "a fact that is known was asked for again"
            for key in outcome.keys:
                self.asked.append(key)
                known[key] = self.answer(key)

    def rcpt(self, **facts: Any) -> str:
        return self.decide("RCPT", **facts)

    def effects(self) -> list[str]:
        return [f"{effect.word}: {effect.text or effect.value}" for effect in self.outcome.effects]

    # --- the answers of others
    def answer(self, key: Key) -> object:
        kind, *subject = key
        if self.broken and kind in ("recipient", "route", "access", "owners"):
            return Trouble("the lookup service is away")
        return getattr(self, f"_{kind}")(*subject)

    def _recipient(self, address: str) -> RecipientVerdict:
        local, _, domain = address.rpartition("@")
        if domain != "ours.test":
            return RecipientVerdict("relay_denied", "default", "Relay access denied", 554, "5.7.1")
        if local.startswith("nobody"):
            return RecipientVerdict("unknown", "local", "User unknown in local recipient table", 550, "5.1.1")
        if local.startswith("later"):
            return RecipientVerdict("error", "local", "mail system upgrade", 450, "4.3.2")
        return RecipientVerdict("ok", "local")

    def _route(self, address: str) -> Route:
        return Route("smtp", "", address, "local" if address.endswith("@ours.test") else "default")

    def _access(self, tables: tuple[str, ...], keys: tuple[str, ...], partial: tuple[bool, ...]) -> object:
        for key in keys:
            for table in tables:
                if (value := self.tables[table].get(key)) is not None:
                    return Trouble("table is broken") if value == "BROKEN" else AccessValue(key, value)
        return None

    def _owners(self, tables: tuple[str, ...], address: str) -> object:
        return self._access(tables, (address, address[address.index("@") :]), (False, True))

    def _dns(self, name: str, kind: int) -> object:
        found = self.dns.get((name, RecordType(kind).name))
        if found == "timeout":
            return Failed(name, "no server answers")
        if found is None:
            exists = any(name == other for other, _ in self.dns)
            return Absent(name, exists)
        if kind == RecordType.MX:
            found = [MX(0, exchange) for exchange in found]
        return Answer(name, tuple(found), name, 60.0)

    def _policy(self, argument: str, attributes: tuple[tuple[str, str], ...]) -> object:
        action = self.policy[argument]
        return Trouble("connection refused") if action is None else action


def world(name: str, restrictions: str, **more: Any) -> World:
    """A world with smtpd_NAME_restrictions."""
    parameters = {f"smtpd_{name}_restrictions": restrictions, **more.pop("parameters", {})}
    return World(parameters, **more)
