"""What a submitter's client is believed (AUTH=), and what cleanup is told to mend."""

from __future__ import annotations

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.smtpd_auth import LOCAL_HEADER_REWRITE_CLIENTS
from pillarbox.lib.queue import Envelope
from tests.smtpd.stage import ID, Stage, plain, run, stage

GOOD = plain("\0ann\0secret")
AUTH_ON = {"smtpd_sasl_auth_enable": "yes"}


async def envelope(scene: Stage, *commands: str) -> Envelope:
    peer = await scene.connect()
    assert (await peer.say("EHLO c.test", *commands, "RCPT TO:<user@here.example>", "DATA", "x\r\n.")).startswith(
        "250 "
    )
    made = scene.cleanup.messages[-1].envelope
    assert made is not None
    return made


# --- AUTH=
@pytest.mark.parametrize(
    ("trusted", "parameter", "believed"),
    [
        ("127.0.0.1", " AUTH=bob@there.example", "bob@there.example"),
        ("127.0.0.1", " AUTH=<>", ""),
        ("127.0.0.1", "", ""),
        ("192.0.2.1", " AUTH=bob@there.example", ""),
        ("", " AUTH=bob@there.example", ""),
    ],
)
def test_only_trusted_clients_are_believed_about_the_submitter(trusted: str, parameter: str, believed: str) -> None:
    async def scenario() -> None:
        async with stage(smtpd_trusted_auth_clients=trusted, **AUTH_ON) as scene:
            made = await envelope(scene, f"MAIL FROM:<a@b.example>{parameter}")
            assert made.attributes.get("sasl_sender", "") == believed
            logged = scene.logged(f"{ID}: client=localhost[127.0.0.1], sasl_sender={believed}")
            assert logged is bool(believed)

    run(scenario)


def test_the_submitter_belongs_to_its_transaction() -> None:
    async def scenario() -> None:
        async with stage(smtpd_trusted_auth_clients="127.0.0.1", **AUTH_ON) as scene:
            made = await envelope(
                scene, "MAIL FROM:<a@b.example> AUTH=bob@there.example", "RSET", "MAIL FROM:<a@b.example>"
            )
            assert "sasl_sender" not in made.attributes

    run(scenario)


def test_an_authenticated_stranger_is_not_believed() -> None:
    async def scenario() -> None:
        async with stage(**AUTH_ON) as scene:
            made = await envelope(scene, f"AUTH PLAIN {GOOD}", "MAIL FROM:<a@b.example> AUTH=boss@there.example")
            assert (made.sasl_username, made.attributes.get("sasl_sender")) == ("ann@here.example", None)

    run(scenario)


# --- the header
@pytest.mark.parametrize(
    ("settings", "authenticated", "attributes"),
    [
        (
            {"submission_header_fixups": "yes"},
            True,
            {"submission": "yes", "complete_header": "yes", "rewrite": "local"},
        ),
        ({"submission_header_fixups": "yes", "local_header_rewrite_clients": ""}, False, {}),
        ({"local_header_rewrite_clients": ""}, True, {}),
        ({}, False, {"rewrite": "local"}),
        ({"local_header_rewrite_clients": "permit_mynetworks"}, False, {}),
        (
            {"local_header_rewrite_clients": "permit_mynetworks", "mynetworks": "127.0.0.0/8"},
            False,
            {"rewrite": "local"},
        ),
        ({"local_header_rewrite_clients": "permit_sasl_authenticated"}, True, {"rewrite": "local"}),
        ({"local_header_rewrite_clients": "permit_sasl_authenticated"}, False, {}),
    ],
)
def test_cleanup_is_told_what_to_mend(
    settings: dict[str, str], authenticated: bool, attributes: dict[str, str]
) -> None:
    async def scenario() -> None:
        async with stage(**AUTH_ON, **settings) as scene:
            made = await envelope(scene, *([f"AUTH PLAIN {GOOD}"] if authenticated else []), "MAIL FROM:<a@b.example>")
            assert made.attributes == attributes

    run(scenario)


TABLE = "inline:{127.0.0.1=yes}"


@pytest.mark.parametrize("clients", ["static:all", "check_address_map static:all", "permit_mynetworks, static:all"])
def test_tables_of_clients_are_asked_by_address(clients: str) -> None:
    async def scenario() -> None:
        async with stage(local_header_rewrite_clients=clients, mynetworks="") as scene:
            scene.lookup.tables["static:all"] = {"127.0.0.1": "x"}
            assert (await envelope(scene, "MAIL FROM:<a@b.example>")).attributes == {"rewrite": "local"}
            scene.lookup.tables["static:all"] = {"192.0.2.1": "x"}
            assert (await envelope(scene, "MAIL FROM:<a@b.example>")).attributes == {}

    run(scenario)


def test_who_is_permitted_anyway_is_not_looked_up() -> None:
    async def scenario() -> None:
        async with stage(local_header_rewrite_clients="static:all, permit_inet_interfaces") as scene:
            assert (await envelope(scene, "MAIL FROM:<a@b.example>")).attributes == {"rewrite": "local"}
            assert scene.lookup.looked_up == []

    run(scenario)


def test_a_table_that_cannot_be_asked_puts_the_message_off() -> None:
    async def scenario() -> None:
        async with stage(local_header_rewrite_clients="fail:x", mynetworks="") as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", "MAIL FROM:<a@b.example>", "RCPT TO:<user@here.example>")
            scene.lookup.broken = True
            said = await peer.say("DATA")
            assert said.startswith("451 4.3.0 <localhost[127.0.0.1]>: Temporary lookup failure"), said

    run(scenario)


@pytest.mark.parametrize("clients", ["permit_nobody", "check_address_map"])
def test_what_is_no_such_list_is_refused(clients: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Config.for_tests(local_header_rewrite_clients=clients)[LOCAL_HEADER_REWRITE_CLIENTS]
