"""Ports, certificates and process trees: what the other tests stand on."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.lab.instance import Instance
from tests.lab.ports import (
    SERVICE_PORTS,
    base_port,
    free_port,
    loopback_address,
    release,
    reserve,
    wait_for_port,
)
from tests.lab.processes import alive, cpu_time, end_tree, memory, stop_process, tree

# It works for some ticks of the clock that counts CPU time before it says that it is up.
_FAMILY = """
import subprocess, time
sum(range(5_000_000))
subprocess.Popen(['sleep', '600'])
print('up', flush=True)
time.sleep(600)
"""


def family() -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", _FAMILY], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def test_base_ports_differ_and_leave_room_for_every_service() -> None:
    first, second = base_port(), base_port()
    assert first != second
    assert max(first, second) + max(SERVICE_PORTS.values()) < 32768


def test_no_port_of_an_instance_is_one_of_another_or_a_single_one() -> None:
    """Else a test that finds a stopped instance's port open, or a restarted server's taken, has met another test."""
    bases = [base_port() for _ in range(40)]
    singles = [free_port() for _ in range(400)]
    every = [base + port for base in bases for port in SERVICE_PORTS.values()] + singles
    assert len(set(every)) == len(every)
    assert max(bases) < min(singles), "a single port cannot be named in master.yaml, where ports count from the base"
    assert max(every) < int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))


def test_a_reservation_is_seen_by_other_processes() -> None:
    name = f"test-{os.getpid()}"
    assert reserve(name)
    try:
        code = f"import sys; from tests.lab.ports import reserve; sys.exit(reserve({name!r}))"
        root = Path(__file__).resolve().parents[2]
        assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=60).returncode == 0
    finally:
        release(name)


def test_loopback_addresses_can_be_bound() -> None:
    address = loopback_address()
    assert address != loopback_address()
    with socket.create_server((address, 0)) as listener:
        wait_for_port(address, listener.getsockname()[1])


def test_waiting_for_a_port_ends_when_its_server_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(AssertionError, match="status 3"):
        wait_for_port("127.0.0.1", free_port(), alive=process)


def test_a_certificate_is_trusted_for_its_names_only(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    assert handshake(authority, "good.test", "good.test") == ""
    assert "Hostname mismatch" in handshake(authority, "good.test", "other.test")


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    assert "expired" in handshake(authority, "good.test", "good.test", expired=True)


def handshake(authority: Authority, issued_for: str, asked_for: str, expired: bool = False) -> str:
    certificate = authority.issue(issued_for, expired=expired)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            certificate.server_context.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        authority.client_context.wrap_socket(ours, server_hostname=asked_for).close()
    except ssl.SSLCertVerificationError as error:
        return str(error)
    finally:
        ours.close()
        thread.join()
    return ""


def test_a_tree_has_the_descendants_and_what_they_cost() -> None:
    process = family()
    try:
        assert [each.name for each in tree(process.pid) if each.pid != process.pid] == ["sleep"]
        assert cpu_time(process.pid) > 0
        assert memory(process.pid) > 1_000_000
    finally:
        end_tree(process.pid)
        process.wait()


def test_ending_a_tree_ends_the_descendants() -> None:
    process = family()
    members = [each.pid for each in tree(process.pid)]
    end_tree(process.pid)
    process.wait()
    assert not any(map(alive, members))


def test_stopping_a_server_leaves_no_descendant() -> None:
    process = family()
    members = [each.pid for each in tree(process.pid)]
    stop_process(process, 0.2)
    assert len(members) == 2
    assert not any(map(alive, members))


def test_a_setting_replaces_the_earlier_one_with_its_continuation(tmp_path: Path) -> None:
    instance = Instance(port_base=10000, parent=tmp_path)
    instance.config.mkdir(parents=True)
    main = instance.config / "main.yaml"
    main.write_text("# comment\nmynetworks:\n  - 127.0.0.0/8\n  - 10.0.0.0/8\nmyhostname: a.test\n#base_port: 0\n")
    instance.set("mynetworks", ["192.0.2.0/24"])
    instance.set("base_port", 5)
    assert (
        main.read_text() == '# comment\nmyhostname: a.test\n#base_port: 0\nmynetworks: ["192.0.2.0/24"]\nbase_port: 5\n'
    )


def test_commands_name_the_instance(tmp_path: Path) -> None:
    instance = Instance(port_base=10000, parent=tmp_path)
    assert instance.command(["postqueue", "-j"])[-2:] == ["pillarbox.commands.postqueue", "-j"]
    assert instance.environment()["MAIL_CONFIG"] == str(instance.config)
    assert instance.port("submission") == 10587
