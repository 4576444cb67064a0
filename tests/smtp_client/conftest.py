"""A client in the test's own process: requests from temporary files, results and log lines to look at."""

from __future__ import annotations

import asyncio
import datetime
import functools
import gc
import os
import random
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.client_services import config_of
from pillarbox.lib.config.parameters.smtp_client_sasl import SMTP_SASL_AUTH_ENABLE
from pillarbox.lib.delivery import Content, DeliveryRecipient, DeliveryRequest, Result
from pillarbox.lib.dns import Resolver, Server
from pillarbox.lib.log import log
from pillarbox.smtp_client.cache import ConnectionCache
from pillarbox.smtp_client.delivery import Deliverer
from pillarbox.smtp_client.login import Logins
from pillarbox.smtp_client.ourselves import Ourselves
from pillarbox.smtp_client.outgoing import Outgoing
from pillarbox.smtp_client.passwords import Passwords
from pillarbox.smtp_client.route import Router
from pillarbox.smtp_client.settings import read_settings
from pillarbox.smtp_client.tables import Tables
from pillarbox.smtp_client.transport_security import Tls

# Everything holds on the standard loop and on the faster one where it is installed.
LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]
LOOP_NAMES = ["asyncio"]
try:
    import uvloop

    LOOPS.append(uvloop.new_event_loop)
    LOOP_NAMES.append("uvloop")
except ImportError:
    pass

CONTENT = b"Subject: test\n\n.dot\nhello\n"


@dataclass
class Outcome:
    """What became of one request."""

    results: dict[str, Result]
    site: str
    log: list[str] = field(default_factory=list)

    def __getitem__(self, address: str) -> Result:
        return self.results[address]

    @property
    def one(self) -> Result:
        (result,) = self.results.values()
        return result


class ClientUnderTest:
    """Makes requests and delivers them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.parameters: dict[str, str] = {
            "myhostname": "me.test",
            "smtp_tls_security_level": "none",
            "smtp_mta_sts": "no",
            "smtp_log_tls_feature_status": "yes",
        }
        for name in ("helo", "mail", "rcpt", "data_init", "data_xfer", "data_done", "starttls"):
            self.parameters[f"smtp_{name}_timeout"] = "20s"
        self.services: dict[str, Service] = {}
        self.service = "smtp"
        self.servers: Sequence[Server] = ()
        self.authentic: Callable[[], Resolver] | None = None
        self.loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
        self.linger_until: Callable[[], bool] = lambda: True
        """What the client waits for, with its cache open, after its deliveries."""

    def request(
        self,
        nexthop: str,
        recipients: Sequence[str | DeliveryRecipient] = ("b@b.test",),
        content: bytes = CONTENT,
        **fields: Any,
    ) -> DeliveryRequest:
        self._count += 1
        file = self._folder / f"message{self._count}"
        file.write_bytes(b"before" + content + b"behind")
        now = time.time()
        return DeliveryRequest(
            tag=1,
            queue_id="4jXFYl6dnjzKD6m",
            sender=fields.pop("sender", "a@a.test"),
            recipients=tuple(
                DeliveryRecipient(n, each) if isinstance(each, str) else each for n, each in enumerate(recipients)
            ),
            content=Content(os.open(file, os.O_RDONLY), 6, fields.pop("size", len(content))),
            transport="smtp",
            nexthop=nexthop,
            arrival=now,
            active=now,
            taken=now,
            **fields,
        )

    def deliver(self, *requests: DeliveryRequest, together: bool = False) -> list[Outcome]:
        """Deliver by one client, one after the other or `together`."""
        with log.capture() as lines, asyncio.Runner(loop_factory=self.loop_factory) as runner:
            return runner.run(self._deliver(requests, together, lines))

    def deliver_one(self, nexthop: str, *args: Any, **fields: Any) -> Outcome:
        (outcome,) = self.deliver(self.request(nexthop, *args, **fields))
        return outcome

    async def _deliver(self, requests: Sequence[DeliveryRequest], together: bool, lines: list[str]) -> list[Outcome]:
        config = Config({"config_directory": "/nonexistent/etc", **self.parameters}, self.services)
        config = config_of(config, self.service)
        settings = read_settings(config, self.service)
        resolver = Resolver(self.servers, timeout=0.5, attempts=1)
        make = self.authentic or (lambda: Resolver(self.servers, timeout=0.5, attempts=1, believed=False))
        authentic = functools.cache(make)
        router = Router(settings, resolver, Ourselves(config), random.Random(1), authentic)
        cache = ConnectionCache(settings)
        tables = Tables(config)
        tls = Tls(config, tables, authentic, lmtp=settings.lmtp)
        logins = Logins(config, Passwords(config)) if config[SMTP_SASL_AUTH_ENABLE] else None
        outgoing = Outgoing.configured(config)
        deliverer = Deliverer(settings, router, cache, tls, logins, outgoing)

        async def one(request: DeliveryRequest) -> Outcome:
            begin = len(lines)
            try:
                results, site = await deliverer.deliver(request)
            finally:
                request.close()
            names = {recipient.n: recipient.address for recipient in request.recipients}
            assert sorted(result.n for result in results) == sorted(names), "one result for each recipient"
            return Outcome({names[result.n]: result for result in results}, site, lines[begin:])

        try:
            if together:
                return list(await asyncio.gather(*map(one, requests)))
            outcomes = [await one(request) for request in requests]
            async with asyncio.timeout(20):
                while not self.linger_until():
                    await asyncio.sleep(0.01)
            return outcomes
        finally:
            cache.close()
            await tables.close()
            if outgoing is not None:
                await outgoing.close()
            await asyncio.sleep(0.01)  # the connections take their leave
            resolver.close()
            authentic().close()


@pytest.fixture(params=LOOPS, ids=LOOP_NAMES)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClientUnderTest]:
    before = len(os.listdir("/proc/self/fd"))
    under_test = ClientUnderTest(tmp_path)
    under_test.loop_factory = request.param
    yield under_test
    # The other side's threads close theirs in their own time; twenty that stay would be ours.
    if len(os.listdir("/proc/self/fd")) >= before + 20:
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) < before + 20, "descriptors were left open"


MakeContext = Callable[..., ssl.SSLContext]


@pytest.fixture
def make_context(tmp_path: Path) -> MakeContext:
    """A server's TLS context with a new self-signed certificate for `name`, written to `tmp_path`/NAME.pem."""

    def make(name: str = "mx.test", maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        file = tmp_path / f"{name}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = maximum
        context.load_cert_chain(file)
        return context

    return make
