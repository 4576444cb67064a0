"""What `pillarbox route` says is what happens: cleanup and the queue manager do it with the same tables."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pillarbox.commands.route import decisions, route
from pillarbox.lib.clients.addressing import Addressing
from pillarbox.lib.clients.lookup import LookupUnavailable, Route
from pillarbox.lib.config import Config
from pillarbox.lib.delivery.result import Result
from pillarbox.lib.log import log
from pillarbox.lib.queue import QueueFile, StoredRecipient
from pillarbox.qmgr.message import ActiveMessage
from pillarbox.qmgr.sorting import Sorting
from tests.cleanup.desk import desk
from tests.lookup.direct import Direct, direct
from tests.lookup.serving import configuration, served


# --- what happens
@dataclass
class Outcome:
    """Where mail went: `transport:nexthop` for each address."""

    ways: list[tuple[str, str]] = field(default_factory=list)

    def decided(self, _message: ActiveMessage, pairs: Sequence[tuple[StoredRecipient, Result]]) -> None:
        """A result that needs no agent: the transport's name is lost, its words are not."""
        self.ways += [(one.recipient.address, f"{result.dsn} {result.text}") for one, result in pairs]

    def left_alone(self, _message: ActiveMessage, count: int) -> None:
        raise AssertionError("nobody is left alone")

    def transport(self, name: str) -> Any:
        def add(_message: ActiveMessage, nexthop: str, recipients: list[StoredRecipient], _limit: int) -> None:
            self.ways += [(one.recipient.address, f"{name}:{nexthop}") for one in recipients]

        return SimpleNamespace(rules=SimpleNamespace(batch=50), add=add)


class AsyncDirect(Direct):
    """The queue manager's client."""

    def known_route(self, recipient: str, sender: str = "") -> Route | None:
        return None

    async def resolve(self, recipient: str, sender: str = "") -> Route:  # type: ignore[override]
        return super().resolve(recipient, sender)


def happens(config: Config, folder: Path, address: str, sender: str) -> list[tuple[str, str]] | None:
    """Where a message goes; None where it is put off before it is queued."""
    with desk(folder, **{name: str(value) for name, value in config.values.items()}) as room:
        treatment = room.intake._treatment
        treatment.lookup = direct(config)
        treatment.addressing = Addressing(config, treatment.lookup)
        client = room.client()
        answer = client.deliver(b"Subject: x\n\n", recipients=(address,), sender=sender)
        if not answer.boolean("ok"):
            assert answer.integer("code") == 451
            return None
        (queue_id,) = room.ids()
        path = room.spool / "incoming" / queue_id
        file = QueueFile(os.open(path, os.O_RDONLY))
        try:
            message = ActiveMessage(queue_id, file, file.envelope, str(path), 0.0)
            outcome = Outcome()
            tasks: list[Coroutine[None, None, None]] = []
            policy = SimpleNamespace(suppression=SimpleNamespace(enabled=False))
            sorting = Sorting(
                cast(Any, AsyncDirect(config)),
                outcome.transport,
                outcome,
                cast(Any, policy),
                tasks.append,
                lambda _message: None,
            )
            sorting.take(message, list(file.recipients()))
            for task in tasks:
                asyncio.run(task)
            return sorted(outcome.ways)
        finally:
            file.close()


def foretold(config: Config, address: str, sender: str) -> list[tuple[str, str]] | None:
    """The same by `pillarbox route`."""
    found: list[tuple[str, str]] = []
    try:
        for decision in decisions(config, direct(config), address, sender):
            if decision.step == "transport":
                transport, _, nexthop = decision.decided.partition(":")
                code = {"discard": "2.0.0 ", "error": "5.0.0 ", "retry": "4.3.0 "}
                words = decision.decided
                if transport in code:
                    words = nexthop if nexthop[:1].isdigit() else code[transport] + nexthop
                found.append((decision.about, words))
    except LookupUnavailable:
        return None
    return sorted(found)


# --- configurations
DOMAINS = ("mx.own.example", "hosted.example", "alias.example", "relay.example", "far.example", "sub.own.example")
NAMES = ("ann", "bob", "ann+x", "root")
addresses = st.builds(lambda name, domain: f"{name}@{domain}", st.sampled_from(NAMES), st.sampled_from(DOMAINS))
odd_addresses = st.sampled_from(
    [
        *("ann", "bob+y", "far.example!ann", "ann%far.example", "ann%far.example@mx.own.example", "@r.example:ann@sub"),
        *('"ann@far.example"@localhost', "Ann@HOSTED.example", "ann@far.example.", "bob@host", '"a b"@hosted.example'),
    ]
)
keys = addresses | st.sampled_from(["ann", "root", *(f"@{domain}" for domain in DOMAINS)])
domain_keys = addresses | st.sampled_from([*DOMAINS, ".own.example", "*"])
ways = st.sampled_from(
    [
        "smtp:[hub.example]",
        "lmtp:unix:/x",
        ":",
        "relay:",
        ":[hub.example]:26",
        "error:5.7.1 no",
        "discard:gone",
        "retry:4.7.1 later",
    ]
)


def table(of: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.dictionaries(of, values, max_size=4).map(
        lambda entries: (
            "inline:{" + ", ".join(f"{{{key} = {value}}}" for key, value in entries.items()) + "}" if entries else ""
        )
    )


several = st.lists(addresses | st.sampled_from(["ann", "bob"]), min_size=1, max_size=3).map(", ".join)
PARAMETERS: dict[str, st.SearchStrategy[str]] = {
    "recipient_canonical_maps": table(keys, addresses | st.sampled_from(["@hosted.example", "@far.example"])),
    "canonical_maps": table(keys, addresses),
    "sender_canonical_maps": table(keys, addresses),
    "virtual_alias_maps": table(keys, several),
    "transport_maps": table(domain_keys, ways),
    "relocated_maps": table(keys, st.just("elsewhere")),
    "recipient_bcc_maps": table(keys, addresses),
    "sender_bcc_maps": table(keys, addresses),
    "always_bcc": st.sampled_from(["", "archive@far.example", "root"]),
    "masquerade_domains": st.sampled_from(["", "own.example", "!sub.own.example own.example"]),
    "masquerade_classes": st.sampled_from(["envelope_sender", "envelope_recipient, envelope_sender"]),
    "append_dot_mydomain": st.sampled_from(["yes", "no"]),
    "swap_bangpath": st.sampled_from(["yes", "no"]),
    "allow_percent_hack": st.sampled_from(["yes", "no"]),
    "resolve_dequoted_address": st.sampled_from(["yes", "no"]),
    "recipient_delimiter": st.sampled_from(["", "+", "-+"]),
    "propagate_unmatched_extensions": st.sampled_from(["canonical, virtual", "virtual", ""]),
    "relayhost": st.sampled_from(["", "[hub.example]"]),
    "sender_dependent_relayhost_maps": table(keys, st.sampled_from(["[mine.example]", "DUNNO"])),
    "sender_dependent_default_transport_maps": table(keys, st.sampled_from(["lmtp:unix:/y", "smtp:", "DUNNO"])),
    "default_transport": st.sampled_from(["smtp", "smtp:[out.example]", "error:5.4.4 no way out"]),
    "virtual_alias_recursion_limit": st.sampled_from(["1000", "2"]),
}
BASIS = {
    "myhostname": "mx.own.example",
    "mydomain": "own.example",
    "myorigin": "own.example",
    "mydestination": "mx.own.example, localhost, own.example",
    "inet_interfaces": "loopback-only",
    "virtual_mailbox_domains": "hosted.example",
    "virtual_mailbox_maps": "",
    "local_recipient_maps": "",
    "alias_maps": "",
    "virtual_alias_domains": "alias.example",
    "relay_domains": "relay.example",
}


IN_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where a queue that lives for a moment waits for no disk."""


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    values=st.fixed_dictionaries({}, optional=PARAMETERS),
    address=addresses | odd_addresses,
    sender=addresses | odd_addresses | st.just(""),
)
@example(
    values={
        "default_transport": "error:5.4.4 no way out",
        "transport_maps": "inline:{{far.example = :[hub.example]:26}}",
    },
    address="ann@far.example",
    sender="",
)
def test_it_is_what_happens(values: dict[str, str], address: str, sender: str) -> None:
    config = Config.for_tests(**(BASIS | values))
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder, log.capture():
        assert foretold(config, address, sender) == happens(config, Path(folder), address, sender)


# --- what is printed
def printed(
    folder: Path, capsys: pytest.CaptureFixture[str], address: str, sender: str = "", **values: str
) -> list[str]:
    """The lines, each with single blanks."""
    config = configuration(folder, virtual_mailbox_domains="hosted.example", **({"virtual_mailbox_maps": ""} | values))
    with served(config):
        assert route(config, address, sender) == os.EX_OK
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_each_decision_in_its_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(
        tmp_path,
        capsys,
        "ann",
        "boss@a.own.example",
        masquerade_domains="own.example",
        recipient_canonical_maps="inline:{ann=a.smith@hosted.example}",
        always_bcc="archive@far.example",
        virtual_alias_maps="inline:{{a.smith@hosted.example = ann@home.example, postmaster}}",
        local_recipient_maps="",
        relayhost="[hub.example]",
    )
    assert lines == [
        "recipient ann -> ok (local)",
        "sender boss@a.own.example -> boss@own.example",
        "form ann -> ann@mx.own.example",
        "canonical ann@mx.own.example -> a.smith@hosted.example",
        "copy always_bcc -> archive@far.example",
        "alias a.smith@hosted.example -> ann@home.example",
        "alias a.smith@hosted.example -> postmaster@mx.own.example",
        "transport ann@home.example -> smtp:[hub.example]",
        "transport postmaster@mx.own.example -> local:mx.own.example",
        "aliases postmaster -> root",
        "transport archive@far.example -> smtp:[hub.example]",
    ]


def test_who_is_refused_hears_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(
        tmp_path,
        capsys,
        "ann@hosted.example",
        virtual_mailbox_maps="inline:{bob@hosted.example=x}",
        virtual_transport="lmtp:unix:/box",
    )
    assert lines == [
        "recipient ann@hosted.example -> unknown (virtual_mailbox) 550 5.1.1 User unknown in virtual mailbox table",
        "transport ann@hosted.example -> lmtp:unix:/box",
    ]


def test_a_table_that_cannot_be_asked_ends_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(tmp_path, transport_maps="fail:x", virtual_mailbox_domains="")
    with served(config), log.capture():
        assert route(config, "a@b.example", as_json=True) == os.EX_TEMPFAIL
    said = capsys.readouterr()
    assert json.loads(said.out) == {"complete": False, "decisions": []}
    assert said.err.startswith("pillarbox route: ")


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(tmp_path, virtual_mailbox_domains="")
    with served(config):
        assert route(config, "a@b.example", as_json=True) == os.EX_OK
    assert json.loads(capsys.readouterr().out) == {
        "complete": True,
        "decisions": [
            {
                "step": "recipient",
                "about": "a@b.example",
                "decided": "relay_denied (default) 554 5.7.1 Relay access denied",
            },
            {"step": "transport", "about": "a@b.example", "decided": "smtp:b.example"},
        ],
    }
