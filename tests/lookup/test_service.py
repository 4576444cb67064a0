"""The requests of the service, and both clients against it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import (
    TRIES,
    AccessValue,
    AsyncLookupClient,
    LookupClient,
    LookupUnavailable,
    RecipientVerdict,
    Route,
)
from pillarbox.lib.config import Config, Service
from pillarbox.lib.ipc import Channel, ChannelClosed
from pillarbox.lib.log import log
from pillarbox.lib.tables import LookupFailed, TableChanged
from pillarbox.lib.tables.blocking import about_to_wait
from pillarbox.lookup import accounts, service
from tests.lookup.serving import Accounts, configuration, served


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> Accounts:
    fake = Accounts()
    fake.addresses = {"ann@hosted.example"}
    monkeypatch.setattr(accounts, "AuthClient", lambda config: fake)
    return fake


ALIASES = "inline:{sales@hosted.example=ann@hosted.example, {all@hosted.example = a@x.example, b@x.example}}"

Ask = Callable[[str, tuple[Any, ...]], Any]


def blocking(config: Config) -> Ask:
    client = LookupClient(config)
    return lambda method, arguments: getattr(client, method)(*arguments)


def concurrent(config: Config) -> Ask:
    def ask(method: str, arguments: tuple[Any, ...]) -> Any:
        async def one() -> Any:
            client = AsyncLookupClient(config)
            try:
                return await getattr(client, method)(*arguments)
            finally:
                await client.close()

        return asyncio.run(one())

    return ask


@pytest.mark.parametrize("client", [blocking, concurrent])
@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        ("recipient", ("ann@hosted.example",), RecipientVerdict("ok", "virtual_mailbox")),
        (
            "recipient",
            ("bob@hosted.example",),
            RecipientVerdict("unknown", "virtual_mailbox", "User unknown in virtual mailbox table", 550, "5.1.1"),
        ),
        (
            "recipient",
            ("a@far.example",),
            RecipientVerdict("relay_denied", "default", "Relay access denied", 554, "5.7.1"),
        ),
        ("resolve", ("ann",), Route("local", "mx.own.example", "ann@mx.own.example", "local")),
        ("resolve", ("a@far.example", "s@x"), Route("smtp", "far.example", "a@far.example", "default")),
        ("expand", ("sales@hosted.example",), ("ann@hosted.example",)),
        ("expand", ("all@hosted.example",), ("a@x.example", "b@x.example")),
        ("expand", ("ann@hosted.example",), None),
        ("get", ("alias_maps", "Postmaster"), "root"),
        ("get", ("alias_maps", "nobody"), None),
        ("listed", ("fast_flush_domains", "Site.example"), True),
        ("listed", ("fast_flush_domains", "sub.site.example"), True),
        ("listed", ("fast_flush_domains", "other.example"), False),
    ],
)
def test_a_question_and_its_answer(
    tmp_path: Path, people: Accounts, client: Callable[[Config], Ask], method: str, arguments: Any, expected: object
) -> None:
    config = configuration(
        tmp_path,
        virtual_alias_maps=ALIASES,
        fast_flush_domains="site.example",
    )
    with served(config):
        assert client(config)(method, arguments) == expected


@pytest.mark.parametrize("client", [blocking, concurrent])
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("get", ("alias_database", "x")),
        ("get", ("mydestination", "x")),
        ("get", ("no_such_parameter", "x")),
        ("listed", ("mydestination", "own.example")),
        ("expand", ("a@b.example",)),
        ("recipient", ("a@b.example",)),
    ],
)
def test_what_is_not_known_or_not_allowed_is_both_kinds_of_unavailable(
    tmp_path: Path, people: Accounts, client: Callable[[Config], Ask], method: str, arguments: Any
) -> None:
    config = configuration(tmp_path, virtual_alias_maps="fail:x", alias_database="fail:y")
    with served(config), log.capture():
        for kind in (LookupFailed, ServiceUnavailable, LookupUnavailable):
            with pytest.raises(kind):
                client(config)(method, arguments)


@pytest.mark.parametrize("client", [blocking, concurrent])
def test_a_service_that_is_away(tmp_path: Path, client: Callable[[Config], Ask]) -> None:
    with pytest.raises(LookupUnavailable, match=r"lookup service: connect to .*private/lookup"):
        client(configuration(tmp_path))("recipient", ("a@b.example",))


def test_the_blocking_client_survives_a_restart_of_the_service(tmp_path: Path, people: Accounts) -> None:
    config = configuration(tmp_path, lookup_cache_ttl="0s")
    client = LookupClient(config)
    for _ in range(2):
        with served(config):
            assert client.get("alias_maps", "postmaster") == "root"
    with pytest.raises(LookupUnavailable):
        client.get("alias_maps", "postmaster")


def test_the_concurrent_client_survives_a_restart_of_the_service(tmp_path: Path, people: Accounts) -> None:
    config = configuration(tmp_path, lookup_cache_ttl="0s")

    async def run() -> None:
        client = AsyncLookupClient(config)
        for _ in range(2):
            context = served(config)
            await asyncio.to_thread(context.__enter__)
            answers = await asyncio.gather(*(client.get("alias_maps", "postmaster") for _ in range(5)))
            assert answers == ["root"] * 5
            await asyncio.to_thread(context.__exit__, None, None, None)
        with pytest.raises(LookupUnavailable):
            await client.get("alias_maps", "postmaster")
        await client.close()

    asyncio.run(run())


def test_answers_are_kept_for_their_time_and_lacks_are_not(tmp_path: Path, people: Accounts) -> None:
    config = configuration(tmp_path)
    clock = Clock()
    client = LookupClient(config, clock)
    with served(config):
        assert client.recipient("ann@hosted.example").status == "ok"
        assert client.recipient("bob@hosted.example").status == "unknown"
        assert client.get("alias_maps", "postmaster") == "root"
        people.addresses.add("bob@hosted.example")
        assert client.recipient("bob@hosted.example").status == "ok", "a new user gets mail at once"
    assert client.recipient("ann@hosted.example").status == "ok", "kept, though the service is gone"
    assert client.get("alias_maps", "postmaster") == "root"
    clock.now += 1.1
    with pytest.raises(LookupUnavailable):
        client.recipient("ann@hosted.example")


def test_questions_without_table_ask_nobody(tmp_path: Path) -> None:
    client = LookupClient(configuration(tmp_path))
    assert client.expand("a@b.example") is None
    assert client.canonical("a@b.example", "envelope_sender") is None
    assert client.copy_to("a@b.example", "sender") is None


def test_rewriting_is_asked_about_by_place(tmp_path: Path, people: Accounts) -> None:
    config = configuration(
        tmp_path,
        sender_canonical_maps="inline:{bob=bob.b@own.example}",
        masquerade_domains="own.example",
        masquerade_classes="header_recipient",
        recipient_bcc_maps="inline:{bob=audit@own.example}",
    )
    client = LookupClient(config)
    with served(config):
        assert client.canonical("bob@localhost", "envelope_sender") == "bob.b@own.example"
        assert client.canonical("bob@mx.own.example", "header_recipient") == "bob@own.example"
        assert client.canonical("ann@localhost", "header_sender") is None
        assert client.copy_to("bob@localhost", "recipient") == "audit@own.example"
        assert client.copy_to("ann@localhost", "recipient") is None
    assert client.canonical("bob@localhost", "envelope_recipient") is None, "no table is for these: nobody was asked"
    assert client.copy_to("bob@localhost", "sender") is None


def test_a_kept_answer_is_there_without_waiting(tmp_path: Path, people: Accounts) -> None:
    config = configuration(tmp_path)

    async def run() -> None:
        client = AsyncLookupClient(config)
        assert client.known_recipient("ann@hosted.example") is None
        verdict = await client.recipient("ann@hosted.example")
        assert client.known_recipient("ann@hosted.example") is verdict
        await client.close()

    with served(config):
        asyncio.run(run())


def test_a_slow_answer_holds_up_no_other(tmp_path: Path, people: Accounts) -> None:
    config = configuration(tmp_path)
    people.gate = threading.Event()

    async def run() -> None:
        client = AsyncLookupClient(config)
        slow: Awaitable[RecipientVerdict] = asyncio.ensure_future(client.recipient("ann@hosted.example"))
        await asyncio.sleep(0)
        assert await client.get("alias_maps", "postmaster") == "root"
        assert not slow.done()  # type: ignore[attr-defined]
        assert people.gate is not None
        people.gate.set()
        assert (await slow).status == "ok"
        await client.close()

    with served(config):
        asyncio.run(run())


def test_accounts_make_domains_and_mailboxes(tmp_path: Path, people: Accounts) -> None:
    config = configuration(tmp_path, recipient_delimiter="+", lookup_cache_ttl="0s")
    people.addresses.add("user@[192.0.2.9]")
    with served(config):
        client = LookupClient(config)
        assert client.recipient("ann+x@hosted.example").status == "ok"
        assert client.recipient("ANN@Hosted.Example").status == "ok"
        assert client.recipient("bob@hosted.example").status == "unknown"
        assert client.recipient("bob@far.example").status == "relay_denied"
        assert client.recipient("root@sys.example").status == "relay_denied", "a system user hosts no domain"
        assert client.get("virtual_mailbox_maps", "ann@hosted.example") == "ann@hosted.example"
        assert client.get("virtual_mailbox_maps", "@hosted.example") is None


def test_an_account_database_that_is_away_defers(tmp_path: Path, people: Accounts) -> None:
    people.away = True
    config = configuration(tmp_path)
    with served(config), log.capture(), pytest.raises(LookupUnavailable, match="accounts"):
        LookupClient(config).recipient("ann@hosted.example")


def test_the_account_database_is_asked_once_for_many_questions(tmp_path: Path, people: Accounts) -> None:
    config = configuration(tmp_path)
    with served(config):
        for _ in range(5):
            assert LookupClient(config).recipient("ann@hosted.example").status == "ok"
    assert people.asked == ["hosted.example", "ann@hosted.example"]


@pytest.mark.parametrize(
    "request_frame",
    [
        {"do": "nonsense"},
        {"no": "verb"},
        {"do": "recipient"},
        {"do": "recipient", "address": 7},
        {"do": "recipient", "address": "x" * 5000},
        {"do": "canonical", "address": "a@b", "position": "other"},
        {"do": "copy", "address": "a@b", "kind": "other"},
        {"do": "get", "parameter": "alias_maps"},
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_ends_the_connection(
    tmp_path: Path, people: Accounts, request_frame: dict[str, object]
) -> None:
    config = configuration(tmp_path)
    with log.capture() as lines:
        with served(config):
            channel = Channel.connect(config.socket_path("lookup"), 20)
            channel.send(request_frame)
            reply = channel.receive()
            assert reply.boolean("ok") is False
            assert reply.text("why")
            with pytest.raises(ChannelClosed):
                channel.receive()
        assert [line for line in lines if line.startswith("warning: protocol error")]


def test_odd_addresses_get_an_answer_or_a_failure(tmp_path: Path, people: Accounts) -> None:
    config = configuration(tmp_path, virtual_alias_maps=ALIASES)
    with served(config), log.capture():
        client = LookupClient(config)
        for address in (
            "@",
            "@@",
            "a@",
            "@b",
            '"',
            '"@x',
            "a@b@c",
            "\udcff@x.example",
            "x" * 1000,
            "a@[",
            "@a:",
            "%",
            "\0",
        ):
            try:
                client.recipient(address)
                client.resolve(address)
                client.expand(address)
            except LookupUnavailable:
                pass
        assert client.get("alias_maps", "postmaster") == "root"


@pytest.mark.parametrize("client", [blocking, concurrent])
def test_a_fault_of_ours_while_others_are_asked_ends_the_connection_instead_of_leaving_it_without_answer(
    tmp_path: Path, people: Accounts, client: Callable[[Config], Ask]
) -> None:
    config = configuration(tmp_path)
    faults = iter([ValueError("a driver's"), None])

    def verdict(address: str) -> RecipientVerdict:
        about_to_wait()
        fault = next(faults)
        if fault is not None:
            raise fault
        return RecipientVerdict("ok", "local")

    with served(config) as lookup:
        lookup.recipients.verdict = verdict  # type: ignore[method-assign]
        assert client(config)("recipient", ("ann@localhost",)).status == "ok"


def test_requests_of_one_connection_that_wait_have_a_limit(
    tmp_path: Path, people: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "WAITING_LIMIT", 5)
    config = configuration(tmp_path)
    people.gate = threading.Event()
    asked = 0

    def verdict(address: str) -> RecipientVerdict:
        nonlocal asked
        asked += 1  # before it waits: as often as requests are read
        about_to_wait()
        people._answer(address)
        return RecipientVerdict("ok", "local")

    with served(config) as lookup:
        lookup.recipients.verdict = verdict  # type: ignore[method-assign]
        channel = Channel.connect(config.socket_path("lookup"), 20)
        for tag in range(1, 21):
            channel.send({"do": "recipient", "address": f"u{tag}@hosted.example", "tag": tag})
        other = LookupClient(config)
        assert other.get("alias_maps", "postmaster") == "root", "other connections are served"
        assert other.get("alias_maps", "postmaster") == "root"
        assert asked <= 5 * 2  # each is tried at once, and again where it may wait
        people.gate.set()
        assert sorted(channel.receive().integer("tag") for _ in range(20)) == list(range(1, 21))
        channel.close()


@pytest.mark.parametrize("client", [blocking, concurrent])
@pytest.mark.parametrize("waiting", [False, True])
def test_a_table_that_only_a_successor_may_read_is_asked_again_and_not_answered_from_memory(
    tmp_path: Path, people: Accounts, client: Callable[[Config], Ask], waiting: bool
) -> None:
    config = configuration(tmp_path)
    outcomes = iter([TableChanged("changed"), TableChanged("changed"), None])

    def verdict(address: str) -> RecipientVerdict:
        if waiting:
            about_to_wait()
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome
        return RecipientVerdict("ok", "local")

    with served(config) as lookup:
        lookup.recipients.verdict = verdict  # type: ignore[method-assign]
        assert client(config)("recipient", ("ann@localhost",)).status == "ok"


@pytest.mark.parametrize("client", [blocking, concurrent])
def test_a_service_that_keeps_ending_connections_is_given_up(
    tmp_path: Path, people: Accounts, client: Callable[[Config], Ask]
) -> None:
    config = configuration(tmp_path)
    asked: list[str] = []

    def verdict(address: str) -> RecipientVerdict:
        asked.append(address)
        raise TableChanged("changed")

    with served(config) as lookup:
        lookup.recipients.verdict = verdict  # type: ignore[method-assign]
        with pytest.raises(LookupUnavailable):
            client(config)("recipient", ("ann@localhost",))
    assert len(asked) == TRIES


class TestAccessPolicy:
    """Tables that restriction lists name."""

    TABLE = "inline:{{192.0.2 = REJECT no}, {client.example = OK}, {sub.example = HOLD}}"
    PATTERN = "regexp:{{/example/ DEFER}}"

    def settings(self) -> dict[str, str]:
        return {
            "smtpd_client_restrictions": f"check_client_access {self.TABLE}, check_helo_access {self.PATTERN}",
            "smtpd_sender_login_maps": f"logins: {ALIASES}",
            "recipient_delimiter": "+",
        }

    @pytest.mark.parametrize("client", [blocking, concurrent])
    def test_the_first_key_that_is_there(
        self, tmp_path: Path, people: Accounts, client: Callable[[Config], Ask]
    ) -> None:
        config = configuration(tmp_path, **self.settings())
        with served(config):
            ask = client(config)
            keys = (("client.example", "192.0.2.1", "192.0.2"), (False, False, True))
            assert ask("access", ((self.TABLE,), *keys)) == AccessValue("client.example", "OK")
            assert ask("access", ((self.TABLE,), ("192.0.2.1", "192.0.2"), (False, True))) == AccessValue(
                "192.0.2", "REJECT no"
            )
            assert ask("access", ((self.TABLE,), ("192.0.3.1",), (False,))) is None

    def test_tables_of_patterns_see_whole_keys_only(self, tmp_path: Path, people: Accounts) -> None:
        config = configuration(tmp_path, **self.settings())
        with served(config):
            ask = blocking(config)
            assert ask("access", ((self.PATTERN,), ("a.example",), (False,))) is not None
            assert ask("access", ((self.PATTERN,), ("a.example",), (True,))) is None

    def test_a_table_that_no_list_names_is_not_asked(self, tmp_path: Path, people: Accounts) -> None:
        config = configuration(tmp_path, **self.settings())
        with served(config):
            for table in ("unix:passwd.byname", "texthash:/etc/passwd", ALIASES[:-1]):
                with pytest.raises(LookupUnavailable, match="is no table that the configuration names"):
                    blocking(config)("access", ((table,), ("root",), (False,)))

    @pytest.mark.parametrize("prefix", ["smtp", "lmtp"])
    def test_the_passwords_of_the_smtp_client_are_told_to_nobody(
        self, tmp_path: Path, people: Accounts, prefix: str
    ) -> None:
        """smtpd has the same user as the client that reads them: whoever has broken into it could ask, too."""
        table, name = "inline:{{relay.example = ann:secret}}", f"{prefix}_sasl_password_maps"
        base = configuration(tmp_path, **{name: table, "smtp_sasl_auth_enable": "yes"})
        for config in (base, Config(base.values, {"smtp": Service("smtp", "smtp_client", options={name: table})})):
            with served(config) as lookup:
                for question in (
                    ("get", (name, "relay.example")),
                    ("access", ((table,), ("relay.example",), (False,))),
                    ("owners", ((table,), "relay.example")),
                ):
                    with pytest.raises(LookupUnavailable):
                        blocking(config)(*question)
                assert table not in lookup.access._maps
                assert not any(table in (each.spec for each in maps.tables) for maps in lookup.tables._all())

    def test_a_table_in_the_options_of_a_service_may_be_asked(self, tmp_path: Path, people: Accounts) -> None:
        options = {"smtpd_sender_restrictions": "check_sender_access inline:{x=OK}"}
        base = configuration(tmp_path)
        config = Config(base.values, {"submission": Service("submission", "smtpd", options=options)})
        with served(config):
            assert blocking(config)("access", (("inline:{x=OK}",), ("x",), (False,))) == AccessValue("x", "OK")

    @pytest.mark.parametrize("client", [blocking, concurrent])
    @pytest.mark.parametrize(
        ("address", "owner"),
        [
            ("ann@hosted.example", "ann@hosted.example"),
            ("ann+x@hosted.example", "ann@hosted.example"),
            ("sales@hosted.example", "ann@hosted.example"),
            ("root@sys.example", "root@sys.example"),
            ("bob@hosted.example", None),
        ],
    )
    def test_owners(
        self, tmp_path: Path, people: Accounts, client: Callable[[Config], Ask], address: str, owner: str | None
    ) -> None:
        config = configuration(tmp_path, **self.settings())
        with served(config):
            found = client(config)("owners", (("logins:", ALIASES), address))
            assert (None if found is None else found.value) == owner

    def test_an_auth_service_that_is_away_is_no_answer(self, tmp_path: Path, people: Accounts) -> None:
        config = configuration(tmp_path, **self.settings())
        people.away = True
        with served(config), pytest.raises(LookupUnavailable):
            blocking(config)("owners", (("logins:", ALIASES), "ann@hosted.example"))

    @pytest.mark.parametrize(
        "request_",
        [
            {"keys": ["a"], "partial": ""},
            {"keys": ["a"] * 400, "partial": "0" * 400},
            {"keys": ["a" * 200_001], "partial": "0"},
        ],
    )
    def test_questions_that_make_no_sense(self, tmp_path: Path, people: Accounts, request_: dict[str, object]) -> None:
        config = configuration(tmp_path, **self.settings())
        with served(config):
            channel = Channel.connect(config.socket_path("lookup"), 5)
            channel.send({"do": "access", "tables": [self.TABLE], **request_})
            assert not channel.receive().boolean("ok")
            with pytest.raises(ChannelClosed):
                channel.receive()


@pytest.mark.parametrize("client", [blocking, concurrent])
def test_where_an_accounts_mail_lies_is_told_unless_it_is_the_usual_place(
    tmp_path: Path, people: Accounts, client: Callable[[Config], Ask]
) -> None:
    people.mail["ann@hosted.example"] = "sqlite:/h/mail.sqlite"
    config = configuration(tmp_path, recipient_delimiter="+")
    with served(config):
        for address in ("ann@hosted.example", "ann+work@hosted.example"):
            assert client(config)("recipient", (address,)).location == "sqlite:/h/mail.sqlite"
