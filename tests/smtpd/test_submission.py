"""What a submitter's client is believed (AUTH=), and what cleanup is told to mend."""

from __future__ import annotations

import pytest

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
