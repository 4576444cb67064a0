"""One instance for all tests of a process, and an account for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.site import DOMAIN, PREPARED, Account, Site
from tests.lab.certificates import Authority
from tests.lab.instance import Instance


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    certificate = authority.issue("localhost", "127.0.0.1")
    settings = {"smtpd_tls_chain_files": [str(certificate.chain)], "auth_failure_delay": "0s"}
    with Instance(domains=[DOMAIN], users=PREPARED, settings=settings) as mail:
        yield Site(mail, authority)
        # Whatever the clients got to see: no program may have come upon something that it was not made for.
        assert mail.log_matching(r"\]: (panic|fatal|error): |Traceback") == []


@pytest.fixture
def account(site: Site) -> Account:
    return site.new_account()
