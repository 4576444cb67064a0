"""The room as it runs: confined, asked by its client, killed, and away."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.clients.mta_sts import AsyncMtaStsClient, PolicyUnavailable
from pillarbox.lib.config import Config, Service
from pillarbox.lib.smtp.sts_policy import StsPolicy
from pillarbox.mta_sts.program import PROGRAM
from tests.auth.worker import running
from tests.lab.certificates import Authority
from tests.lab.dns import DnsServer
from tests.lab.web import HANG, WebServer, ok

UID = 54340
FAR = "far.test"
HOST = f"mta-sts.{FAR}"
TEXT = b"version: STSv1\nmode: enforce\nmx: mx.far.test\nmax_age: 86400\n"
RECORD = f'_mta-sts.{FAR}. TXT "v=STSv1; id=1;"\n{HOST}. A 127.0.0.1\n'
SERVICE = Service(PROGRAM.name, PROGRAM.name)


class World:
    """The domain far.test with its DNS and web server, and the configuration of an instance that may ask it."""

    def __init__(self, folder: str, dns: DnsServer, web: WebServer, authority: Authority) -> None:
        self.dns, self.web = dns, web
        self.config = Config.for_tests(
            queue_directory=f"{folder}/spool",
            data_directory=f"{folder}/state",
            mail_owner=str(UID),
            net_owner=str(UID + 1),
            dns_resolver=dns.resolver,
            mta_sts_CAfile=str(authority.certificate),
            mta_sts_tcp_port=str(web.port),
            smtp_mta_sts_timeout="3s",
        )

    def ask(self, *domains: str) -> list[StsPolicy | str | None]:
        """What the client says of each domain; the reason where nobody can say."""

        async def main() -> list[StsPolicy | str | None]:
            client = AsyncMtaStsClient(self.config)

            async def one(domain: str) -> StsPolicy | str | None:
                try:
                    return await client.policy(domain)
                except PolicyUnavailable as unavailable:
                    return f"{unavailable.result} {unavailable.reason}"

            try:
                return list(await asyncio.gather(*map(one, domains)))
            finally:
                client.close()

        return asyncio.run(main())


@pytest.fixture
def world() -> Iterator[World]:
    # Not tmp_path, which only root may enter when root runs the tests: the process runs as another user.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        Path(folder, "spool/private").mkdir(parents=True)
        authority = Authority(Path(folder, "ca"))
        context = authority.issue(HOST, "mta-sts.slow.test").server_context
        with DnsServer(RECORD) as dns, WebServer(context, lambda _: ok(TEXT, "text/plain")) as web:
            yield World(folder, dns, web, authority)


def test_it_says_what_a_domain_has_published(world: World) -> None:
    with running(PROGRAM, SERVICE, world.config):
        policy, again, none, literal, short = world.ask(FAR, "Far.Test.", "other.test", "[192.0.2.1]", "localhost")
    assert isinstance(policy, StsPolicy) and policy == again
    assert (policy.domain, policy.mode, policy.id) == (FAR, "enforce", "1") and policy.matches("mx.far.test")
    assert none is literal is short is None
    assert len(world.web.requests) == 1
    assert not world.dns.asked("_mta-sts.localhost")


def test_a_policy_survives_the_process_killed_at_any_moment(world: World) -> None:
    for _ in range(2):
        try:
            with running(PROGRAM, SERVICE, world.config) as pid:
                assert isinstance(world.ask(FAR)[0], StsPolicy)
                os.kill(pid, signal.SIGKILL)
        except AssertionError as error:
            assert "did not end well" in str(error)
        os.unlink(world.config.socket_path(PROGRAM.name))
        world.dns.fail(FAR, "servfail")
    assert len(world.web.requests) == 1


def test_why_nobody_can_say(world: World) -> None:
    world.dns.add('_mta-sts.bad.test. TXT "v=STSv1; id=1;"\nmta-sts.bad.test. A 127.0.0.1')
    world.dns.fail("broken.test", "servfail")
    with running(PROGRAM, SERVICE, world.config):
        bad, broken, good = world.ask("bad.test", "broken.test", FAR)
    assert isinstance(bad, str) and bad.startswith("sts-webpki-invalid ")
    assert isinstance(broken, str) and broken.startswith(" ")
    assert isinstance(good, StsPolicy)


def test_a_server_that_hangs_costs_the_time_limit_and_holds_up_no_other(world: World) -> None:
    world.dns.add('_mta-sts.slow.test. TXT "v=STSv1; id=1;"\nmta-sts.slow.test. A 127.0.0.1')
    world.web.respond = lambda request: HANG if "slow" in request.field("host") else ok(TEXT, "text/plain")
    with running(PROGRAM, SERVICE, world.config):
        slow, good, none = world.ask("slow.test", FAR, "other.test")
        assert isinstance(slow, str) and "did not come within 3s" in slow
        assert isinstance(good, StsPolicy) and none is None
        assert "did not come" in str(world.ask("slow.test")[0])
    assert [request.field("host").partition(":")[0] for request in world.web.requests].count("mta-sts.slow.test") == 1


def test_without_the_service_nobody_can_say(world: World) -> None:
    (found,) = world.ask(FAR)
    assert isinstance(found, str) and found.startswith(" mta_sts: ")
