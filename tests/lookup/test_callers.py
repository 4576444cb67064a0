"""Who may ask what: smtpd and the other programs of its user get what they need, and no alias values."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pillarbox.lib.clients.lookup import LookupClient, LookupUnavailable
from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.values import all_parameters
from pillarbox.lib.ipc import Attributes
from pillarbox.lookup import callers
from pillarbox.lookup.callers import NET, Callers
from pillarbox.lookup.service import Lookup
from tests.lookup.serving import configuration, served

NET_UID, VMAIL_UID, AUTH_UID, MAIL_UID = 61001, 61002, 61003, 61004


def users(**values: str) -> dict[str, str]:
    owners = {"net_owner": NET_UID, "vmail_owner": VMAIL_UID, "auth_owner": AUTH_UID, "mail_owner": MAIL_UID}
    return {**{name: str(uid) for name, uid in owners.items()}, **values}


def refused(config: Config, uid: int, **request: str) -> bool:
    return bool(Callers(config).refusal(uid, Attributes(request)))


def asks(uid: int, verb: str, config: Config) -> bool:
    return not refused(config, uid, do=verb, parameter="virtual_mailbox_maps")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    assert os.getuid() == 0, "an instance of one user has one caller only"
    return configuration(tmp_path, **users())


def test_the_verbs_of_each(config: Config) -> None:
    verbs = Lookup(config)._verbs
    assert {verb for verb in verbs if asks(NET_UID, verb, config)} == {"recipient", "resolve", "access", "owners"}
    assert {verb for verb in verbs if asks(VMAIL_UID, verb, config)} == {"recipient", "get"}
    assert {verb for verb in verbs if asks(AUTH_UID, verb, config)} == set()
    assert {verb for verb in verbs if asks(MAIL_UID, verb, config)} == set(verbs)
    assert {verb for verb in verbs if asks(0, verb, config)} == set(verbs)


def test_the_parameters_of_the_net_are_named_one_by_one(config: Config) -> None:
    told = {name for name in all_parameters() if not refused(config, NET_UID, do="get", parameter=name)}
    assert told == NET.parameters
    assert all("alias" not in name and "checks" not in name for name in told)


def test_expn_is_asked_about_only_where_clients_may(tmp_path: Path, config: Config) -> None:
    assert not asks(NET_UID, "members", config)
    assert asks(NET_UID, "members", configuration(tmp_path, **users(smtpd_expn_networks="192.0.2.0/24")))


@pytest.mark.parametrize(
    ("verb", "parameter", "value"),
    [
        ("generic", "smtp_generic_maps", "static:x@y.example"),
        ("generic", "lmtp_generic_maps", "static:x@y.example"),
        ("forwarded", "srs_domain", "own.example"),
    ],
)
def test_names_outside_are_asked_about_only_where_there_are_some(
    tmp_path: Path, config: Config, verb: str, parameter: str, value: str
) -> None:
    assert not asks(NET_UID, verb, config)
    assert asks(NET_UID, verb, configuration(tmp_path, **users(**{parameter: value})))
    for kept in ("canonical", "expand", "copy", "returned"):
        assert not asks(NET_UID, kept, configuration(tmp_path, **users(**{parameter: value})))


def test_an_option_of_one_service_is_enough(config: Config) -> None:
    config.services["inside"] = Service("inside", "smtpd", options={"smtpd_expn_networks": "192.0.2.0/24"})
    assert asks(NET_UID, "members", config)


def test_an_instance_of_one_user_makes_no_difference(monkeypatch: pytest.MonkeyPatch, config: Config) -> None:
    monkeypatch.setattr(callers.os, "getuid", lambda: NET_UID)
    assert asks(NET_UID, "expand", config)


def test_who_may_not_is_told_so_and_defers(tmp_path: Path) -> None:
    config = configuration(tmp_path, virtual_mailbox_domains="", **users(net_owner=str(os.getuid())))
    with served(config, Callers(config)):
        client = LookupClient(config)
        assert client.resolve("postmaster@own.example")
        with pytest.raises(LookupUnavailable, match='uid 0 may not ask about "alias_maps"'):
            client.get("alias_maps", "postmaster")
        client.close()
