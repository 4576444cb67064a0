"""check_policy_service: ask a policy server (SMTPD_POLICY_README of Postfix), do what its action says."""

from __future__ import annotations

from functools import lru_cache

from pillarbox.lib.config.delegation import PolicyServer, parse_policy_server
from pillarbox.lib.dns import UNKNOWN
from pillarbox.smtpd.policy.actions import About, act
from pillarbox.smtpd.policy.client import client_name
from pillarbox.smtpd.policy.facts import RECIPIENT, Facts, Trouble
from pillarbox.smtpd.policy.outcome import Decision
from pillarbox.smtpd.policy.run import Run


@lru_cache(maxsize=256)
def server(argument: str) -> PolicyServer:
    """The server that an argument names."""
    return parse_policy_server(argument)


def attributes(stage: str, facts: Facts, context: str) -> tuple[tuple[str, str], ...]:
    """What the server is told, in Postfix's order."""
    name, reverse = (facts.name.name, facts.name.reverse_name) if facts.name is not None else (UNKNOWN, UNKNOWN)
    certificate = facts.certificate
    return (
        ("request", "smtpd_access_policy"),
        ("protocol_state", facts.verb if stage == "HELO" else stage),
        ("protocol_name", facts.protocol),
        ("client_address", facts.address),
        ("client_name", name),
        ("client_port", str(facts.port)),
        ("reverse_client_name", reverse),
        ("server_address", facts.server_address),
        ("server_port", str(facts.server_port) if facts.server_port else ""),
        ("helo_name", facts.helo or ""),
        ("sender", facts.given_sender if facts.sender is not None else ""),
        ("recipient", facts.given_recipient if facts.recipient is not None else ""),
        ("recipient_count", str(facts.recipients) if stage in ("DATA", "END-OF-MESSAGE") else "0"),
        ("queue_id", facts.queue_id),
        ("instance", facts.instance()),
        ("size", str(facts.size)),
        ("etrn_domain", facts.etrn),
        ("stress", ""),
        ("sasl_method", facts.sasl_method),
        ("sasl_username", facts.sasl_username),
        ("sasl_sender", facts.sasl_sender),
        ("ccert_subject", certificate.subject),
        ("ccert_issuer", certificate.issuer),
        ("ccert_fingerprint", certificate.fingerprint),
        ("ccert_pubkey_fingerprint", certificate.pubkey_fingerprint),
        ("encryption_protocol", facts.tls_protocol),
        ("encryption_cipher", facts.tls_cipher),
        ("encryption_keysize", str(facts.tls_bits)),
        ("policy_context", context),
    )


def check_policy_service(run: Run, argument: str) -> Decision:
    """Ask the server; what cannot be asked does what smtpd_policy_service_default_action says."""
    asked = server(argument)
    client_name(run)
    context = asked.texts.get("policy_context", run.settings.policy_context)
    answer = run.fact(RECIPIENT, "policy", argument, attributes(run.stage, run.facts, context))
    if isinstance(answer, Trouble):
        run.warn(f"problem talking to server {asked}: {answer.reason}")
        action = asked.texts.get("default_action", run.settings.policy_default_action)
    else:
        assert isinstance(answer, str)
        action = answer
    return act(run, About(run.name, run.what, f"policy server {asked}"), action)
