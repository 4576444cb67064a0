"""Processes are replaced while the suite runs: new certificates, reloads, and what becomes of the sessions."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.ipc import Channel, ChannelClosed
from pillarbox.lib.tls.certificate import make_certificate
from pillarbox.master.replacement import RETIRED_LIMIT
from tests.master.trial import Suite, service

QUICK = "0.05s"


class Chain:
    """A chain file that the services use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.renew()

    def content(self) -> bytes:
        certificate, key = make_certificate("mail.example.com", now=datetime.datetime.now(datetime.UTC))
        return key + certificate

    def write(self, content: bytes) -> None:
        unfinished = self.path.with_suffix(".new")
        unfinished.write_bytes(content)
        unfinished.rename(self.path)

    def renew(self) -> None:
        self.write(self.content())


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path / "chain.pem")


@pytest.fixture
def values(chain: Chain) -> dict[str, str]:
    return {"smtpd_tls_chain_files": str(chain.path), "tls_certificate_check_interval": QUICK}


def pid(channel: Channel) -> int:
    return channel.call({"do": "pid"}).integer("pid")


@pytest.fixture
def held(suite: Suite) -> Iterator[list[Channel]]:
    channels: list[Channel] = []
    yield channels
    for channel in channels:
        channel.close()


class TestCertificates:
    def test_a_new_one_gets_new_processes_and_sessions_go_on(
        self, suite: Suite, chain: Chain, values: dict[str, str], held: list[Channel]
    ) -> None:
        suite.set(service("one", "tls", processes=2), service("other"), **values)
        assert suite.start() == "ok"
        held.append(suite.connect("one"))
        old, other = pid(held[0]), suite.ask("other")
        chain.renew()
        suite.until(lambda: suite.ask("one") != old)
        suite.until(lambda: suite.logged("new certificate: the processes of one are replaced as their sessions end"))
        assert pid(held[0]) == old
        assert suite.ask("one") != old
        held[0].close()
        suite.until(lambda: old not in suite.children())
        assert suite.ask("other") == other
        assert not suite.logged("warning:")
        assert not suite.logged("error:")

    def test_a_bad_one_is_said_once_and_the_old_one_stays(
        self, suite: Suite, chain: Chain, values: dict[str, str]
    ) -> None:
        suite.set(service("one", "tls"), service("two", "tls"), **values)
        suite.start()
        old = suite.ask("one")
        chain.write(b"garbage")
        suite.until(lambda: suite.logged("error: new certificate not used, the old one stays (one, two): "))
        chain.write(b"other garbage")
        suite.until(lambda: sum("the old one stays" in line for line in suite.lines) == 2)
        assert suite.ask("one") == old
        assert sum("the old one stays" in line for line in suite.lines) == 2
        chain.renew()
        suite.until(lambda: suite.ask("one") != old)

    def test_a_key_that_comes_later_is_waited_for(self, suite: Suite, tmp_path: Path) -> None:
        certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"

        def renewed() -> tuple[bytes, bytes]:
            return make_certificate("mail.example.com", now=datetime.datetime.now(datetime.UTC))

        for file, content in zip((certificate, key), renewed(), strict=True):
            file.write_bytes(content)
        suite.set(
            service("one", "tls"),
            smtpd_tls_cert_file=str(certificate),
            smtpd_tls_key_file=str(key),
            tls_certificate_check_interval=QUICK,
        )
        suite.start()
        old = suite.ask("one")
        new = renewed()
        certificate.write_bytes(new[0])
        suite.until(lambda: suite.logged(f"the key in {key} does not belong to the certificate in {certificate}"))
        assert suite.ask("one") == old
        key.write_bytes(new[1])
        suite.until(lambda: suite.ask("one") != old)

    def test_a_file_that_goes_is_no_reason_to_go(self, suite: Suite, chain: Chain, values: dict[str, str]) -> None:
        suite.set(service("one", "tls"), **values)
        suite.start()
        old = suite.ask("one")
        chain.path.unlink()
        suite.until(lambda: suite.logged(f"cannot read the certificate or key {chain.path}: No such file"))
        assert suite.ask("one") == old

    def test_the_same_file_written_again_changes_nothing_for_clients(
        self, suite: Suite, chain: Chain, values: dict[str, str], held: list[Channel]
    ) -> None:
        suite.set(service("one", "tls", processes=4, warm=2), **values)
        suite.start()
        held.append(suite.connect("one"))
        old = pid(held[0])
        chain.write(chain.path.read_bytes())
        suite.until(lambda: suite.logged("new certificate"))
        assert pid(held[0]) == old

    def test_it_can_be_switched_off(self, suite: Suite, chain: Chain, values: dict[str, str]) -> None:
        never = {**values, "tls_certificate_check_interval": "0"}
        suite.set(service("off", "tls"), **never)
        suite.start()
        old = suite.ask("off")
        chain.renew()
        suite.reload()  # puts it into force, as it always did
        suite.until(lambda: suite.ask("off") != old)
        assert not suite.logged("new certificate")

    def test_services_without_warm_processes_are_renewed_too(
        self, suite: Suite, chain: Chain, values: dict[str, str], held: list[Channel]
    ) -> None:
        suite.set(service("one", "tls", warm=0), **values)
        suite.start()
        held.append(suite.connect("one"))
        old = pid(held[0])
        chain.renew()
        suite.until(lambda: suite.ask("one") != old)
        assert pid(held[0]) == old


class TestTables:
    """Tables that processes read before they give up their rights."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        file = tmp_path / "secrets"
        file.write_text("host old\n")
        return file

    def told(self, suite: Suite, name: str = "one") -> str:
        channel = suite.connect(name)
        try:
            return channel.call({}).text("found")
        finally:
            channel.close()

    @pytest.mark.parametrize("warm", [0, 1])
    def test_what_is_written_is_read_by_new_processes(
        self, suite: Suite, file: Path, held: list[Channel], warm: int
    ) -> None:
        """The former ones take no new work at once, and end when they have done what they had."""
        values = {"myorigin": f"texthash:{file}", "tls_certificate_check_interval": QUICK}
        suite.set(service("one", "secretive", processes=2, warm=warm), service("other"), **values)
        assert suite.start() == "ok"
        held.append(suite.connect("one"))
        first = held[0].call({})
        assert first.text("found") == "old"
        other = suite.ask("other")
        file.write_text("host new one\n")
        suite.until(lambda: self.told(suite) == "new one")
        assert suite.logged("new table: the processes of one are replaced")
        held[0].close()
        suite.until(lambda: first.integer("pid") not in suite.children())
        assert suite.ask("other") == other
        assert not suite.logged("warning:")
        assert not suite.logged("error:")

    def test_one_that_cannot_be_used_is_said_once_and_what_was_read_stays(self, suite: Suite, tmp_path: Path) -> None:
        rules = tmp_path / "rules"
        rules.write_text("/host/ old\n")
        values = {"myorigin": f"regexp:{rules}", "tls_certificate_check_interval": QUICK}
        suite.set(service("one", "secretive", processes=2), **values)
        suite.start()
        rules.write_text("/host new\n")
        suite.until(lambda: suite.logged("error: new table not used, the old one stays (one): secrets: regexp map"))
        rules.unlink()
        suite.until(lambda: suite.logged("secrets: table regexp:" + f"{rules}: open {rules}: No such file"))
        assert self.told(suite) == "old"
        assert sum("the old one stays" in line for line in suite.lines) == 2
        rules.write_text("/host/ mended\n")
        suite.until(lambda: self.told(suite) == "mended")

    def test_one_that_comes_after_the_start_is_read(self, suite: Suite, file: Path) -> None:
        file.unlink()
        values = {"myorigin": f"texthash:{file}", "tls_certificate_check_interval": QUICK}
        suite.set(service("one", "secretive", processes=2), **values)
        assert suite.start() == "ok"
        assert suite.logged(f"error: table texthash:{file}: open {file}: No such file or directory")
        assert "No such file" in self.told(suite)
        file.write_text("host at last\n")
        suite.until(lambda: self.told(suite) == "at last")

    def test_a_reload_with_one_that_cannot_be_used_is_refused(self, suite: Suite, file: Path) -> None:
        suite.set(
            service("one", "secretive", processes=2),
            myorigin=f"texthash:{file}",
            tls_certificate_check_interval="0",
        )
        suite.start()
        old = suite.ask("one")
        file.unlink()
        suite.reload()
        assert suite.logged("error: reload refused, the old configuration stays: one: secrets: table texthash:")
        assert suite.ask("one") == old
        file.write_text("host new\n")
        suite.reload()
        suite.until(lambda: self.told(suite) == "new")

    @pytest.mark.parametrize("warm", [0, 1])
    def test_one_that_asks_others_is_a_mistake_of_the_configuration(self, suite: Suite, file: Path, warm: int) -> None:
        why = "secrets: table accounts:all: the type accounts asks the account database at each look-up"
        suite.set(service("one", "secretive", warm=warm), myorigin="accounts:all")
        assert why in suite.start()
        suite.end()

    def test_so_it_is_at_a_reload(self, suite: Suite, file: Path) -> None:
        suite.set(service("one", "secretive", processes=2), myorigin=f"texthash:{file}")
        suite.start()
        old = suite.ask("one")
        suite.set(service("one", "secretive", processes=2), myorigin="accounts:all")
        suite.reload()
        assert suite.logged("error: reload refused, the old configuration stays: secrets: table accounts:all: ")
        assert suite.ask("one") == old


class TestReload:
    def test_sessions_of_clients_go_on(self, suite: Suite, held: list[Channel]) -> None:
        suite.set(service("one", "patient", processes=2))
        suite.start()
        held.append(suite.connect("one"))
        old = pid(held[0])
        suite.reload()
        suite.until(lambda: suite.ask("one") != old)
        assert pid(held[0]) == old
        held[0].close()
        suite.until(lambda: old not in suite.children())

    def test_a_service_with_one_process_waits_for_nobody(self, suite: Suite, held: list[Channel]) -> None:
        """Its successor may not begin before it has ended."""
        suite.set(service("one", "patient"))
        suite.start()
        held.append(suite.connect("one"))
        old = pid(held[0])
        suite.reload()
        suite.until(lambda: old not in suite.children())
        assert suite.ask("one") != old

    def test_they_go_on_for_a_limited_time(self, suite: Suite, held: list[Channel]) -> None:
        suite.set(service("one", "patient", processes=2), retire_timeout="1s")
        suite.start()
        held.append(suite.connect("one"))
        old = pid(held[0])
        suite.reload()
        suite.until(lambda: old not in suite.children())
        with pytest.raises(ChannelClosed):
            pid(held[0])

    def test_not_too_many_processes_wait_for_their_clients(self, suite: Suite, held: list[Channel]) -> None:
        suite.set(service("one", "patient", processes=2))
        suite.start()
        pids = []
        for _ in range(RETIRED_LIMIT + 1):
            held.append(suite.connect("one"))
            pids.append(pid(held[-1]))
            suite.reload()
            suite.until(lambda: suite.ask("one") != pids[-1])
        suite.until(lambda: pids[0] not in suite.children())
        assert [pid(channel) for channel in held[1:]] == pids[1:]

    def test_a_stop_ends_them(self, suite: Suite, held: list[Channel]) -> None:
        suite.set(service("one", "patient", processes=2))
        suite.start()
        held.append(suite.connect("one"))
        pid(held[0])
        suite.reload()
        assert suite.stop() == 0
        with pytest.raises(ChannelClosed):
            pid(held[0])

    def test_one_that_dies_is_no_reason_for_a_pause(self, suite: Suite, held: list[Channel]) -> None:
        suite.set(service("one", "patient", processes=2))
        suite.start()
        held.append(suite.connect("one"))
        old = pid(held[0])
        suite.reload()
        suite.until(lambda: suite.ask("one") != old)
        new = suite.ask("one")
        os.kill(old, 9)
        suite.until(lambda: suite.logged(f"pid {old} of service one killed by signal 9"))
        assert suite.ask("one") == new


class TestReloadWithBadCertificates:
    def test_it_is_refused_and_nothing_changes(self, suite: Suite, chain: Chain, values: dict[str, str]) -> None:
        values["tls_certificate_check_interval"] = "0"
        suite.set(service("one", "tls", processes=2), service("two"), **values)
        suite.start()
        pids = suite.ask("one"), suite.ask("two")
        chain.write(b"garbage")
        suite.reload()
        assert suite.logged(f"error: reload refused, the old configuration stays: one: {chain.path} with {chain.path}")
        assert (suite.ask("one"), suite.ask("two")) == pids
        chain.renew()
        suite.reload()
        suite.until(lambda: suite.ask("one") != pids[0])

    def test_one_without_any_certificate_goes_on(self, suite: Suite) -> None:
        suite.set(service("one", "tls", processes=2))
        suite.start()
        old = suite.ask("one")
        suite.reload()
        suite.until(lambda: suite.ask("one") != old)
        assert not suite.logged("error:")


class TestTickets:
    def test_each_service_has_keys_of_its_own_and_no_others(self, suite: Suite, values: dict[str, str]) -> None:
        suite.set(service("one", "tls"), service("two", "tls"), service("plain"), **values)
        suite.start()
        own = {}
        for name in ("one", "two"):
            channel = suite.connect(name)
            answer = channel.call({})
            channel.close()
            assert answer.text("found") == answer.text("own")
            own[name] = answer.text("own")
        assert len({"", *own.values()}) == 3

    def test_processes_share_them_and_a_reload_keeps_them(
        self, suite: Suite, values: dict[str, str], held: list[Channel]
    ) -> None:
        suite.set(service("one", "tls", processes=3, sessions=1), **values)
        suite.start()
        seen = {}
        for _ in range(2):
            held.append(suite.connect("one"))
            answer = held[-1].call({})
            seen[answer.integer("pid")] = answer.text("own")
        suite.reload()
        held.append(suite.connect("one"))
        answer = held[-1].call({})
        seen[answer.integer("pid")] = answer.text("own")
        assert len(seen) == 3
        assert len(set(seen.values())) == 1
