"""The auth program as a real worker process: dropped, confined, serving, and ending when told to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pillarbox.auth.program import PROGRAM
from pillarbox.commands import user
from pillarbox.lib.clients.auth import AuthClient, Failure, Success
from pillarbox.lib.config import Config, Service
from tests.auth.worker import running

AUTH_UID = 54322


@pytest.fixture
def config() -> Iterator[Config]:
    # Not tmp_path, which only root may enter when root runs the tests: the process runs as another user then.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        Path(name, "spool/private").mkdir(parents=True)
        yield configuration(name)


def configuration(folder: str) -> Config:
    return Config.for_tests(
        queue_directory=f"{folder}/spool",
        mail_directory=f"{folder}/mail",
        auth_database=f"{folder}/accounts.sqlite",
        mail_owner=str(AUTH_UID + 2),
        auth_owner=str(AUTH_UID),
        net_owner=str(AUTH_UID + 1),
        auth_failure_delay="0s",
    )


def worker(config: Config) -> AbstractContextManager[int]:
    return running(PROGRAM, Service("auth", "auth"), config)


def login(auth: AuthClient, password: str) -> type:
    step = auth.login("imap", "ann@example.com", password, client_address="192.0.2.1", encrypted=True)
    return type(step)


def test_a_confined_process_checks_passwords(config: Config) -> None:
    with worker(config) as pid:
        auth = AuthClient(config)
        assert login(auth, "pw") is Failure
        assert user.main(["add", "ann@example.com", "pw"], config) == 0, "the running service reads, the command writes"
        assert login(auth, "pw") is Success
        assert user.main(["passwd", "ann@example.com", "new"], config) == 0
        assert login(auth, "pw") is Failure
        assert login(auth, "new") is Success
        auth.close()
        status = Path(f"/proc/{pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        if os.geteuid() == 0:
            assert f"Uid:\t{AUTH_UID}\t{AUTH_UID}\t{AUTH_UID}\t{AUTH_UID}" in status


def test_tokens_are_redeemed_from_another_connection(config: Config) -> None:
    user.main(["add", "ann@example.com", "pw"], config)
    with worker(config):
        login_part, session_part = AuthClient(config), AuthClient(config)
        step = login_part.login("pop3", "ann@example.com", "pw", client_address="192.0.2.1", encrypted=True)
        assert isinstance(step, Success)
        account = session_part.redeem(step.token, "pop3")
        assert account is not None
        assert account.address == "ann@example.com"
        login_part.close()
        session_part.close()
