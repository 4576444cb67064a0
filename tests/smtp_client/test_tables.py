"""The client's tables that lookup answers: asked only where there is one to ask about."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pillarbox.lib.clients.lookup import LookupUnavailable
from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.parameters.tls import SMTP_TLS_POLICY_MAPS
from pillarbox.smtp_client.program import confinement
from pillarbox.smtp_client.tables import Tables
from tests.lookup.serving import configuration, served


def ask(config: Config, *keys: str) -> str | None:
    async def run() -> str | None:
        tables = Tables(config)
        try:
            return await tables.find(SMTP_TLS_POLICY_MAPS, *keys)
        finally:
            await tables.close()

    return asyncio.run(run())


def test_the_first_key_that_is_known_counts(tmp_path: Path) -> None:
    config = configuration(tmp_path, smtp_tls_policy_maps="inline:{one=1, two=2}")
    with served(config):
        assert ask(config, "none", "two", "one") == "2"
        assert ask(config, "none") is None


def test_patterns_are_not_asked_about_parts(tmp_path: Path) -> None:
    (tmp_path / "policy").write_text("/example/ verify\n")
    config = configuration(tmp_path, smtp_tls_policy_maps=f"regexp:{tmp_path}/policy")
    with served(config):
        assert ask(config, ".example.org") is None
        assert ask(config, "example.org") == "verify"


def test_a_table_of_the_service_alone(tmp_path: Path) -> None:
    service = Service("smtp", "smtp_client", options={"smtp_tls_policy_maps": "inline:{host=own}"})
    main = configuration(tmp_path, smtp_tls_policy_maps="inline:{host=common}")
    config = Config(main.values, {"smtp": service})
    with served(config):
        assert ask(config.for_service(service), "host") == "own"
        assert ask(config, "host") == "common"


def test_where_no_table_is_configured_nobody_is_asked(tmp_path: Path) -> None:
    assert ask(configuration(tmp_path), "any") is None


def test_a_service_that_is_away_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(LookupUnavailable):
        ask(configuration(tmp_path, smtp_tls_policy_maps="inline:{a=b}"), "a")


def test_sockets_are_there_for_those_that_ask(tmp_path: Path) -> None:
    silent = {"service_name": "smtp", "smtp_mta_sts": "no"}
    assert not confinement(configuration(tmp_path, **silent)).unix
    own = {"smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": "inline:{a=b}"}
    assert not confinement(configuration(tmp_path, **silent, **own)).unix, "passwords are asked of nobody"
    assert confinement(configuration(tmp_path, service_name="smtp", smtp_tls_policy_maps="inline:{a=b}")).unix
    assert confinement(configuration(tmp_path, service_name="lmtp")).unix
