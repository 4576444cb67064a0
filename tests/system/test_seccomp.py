"""The filter's code as such: jumps in range, both machines, foreign architectures."""

from __future__ import annotations

import struct
from itertools import product

import pytest

from pillarbox.lib.system.seccomp import Filter, assemble
from pillarbox.lib.system.system_calls import ARCHITECTURES, NUMBERS, number

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def run(code: bytes, call: int, architecture: int, arguments: tuple[int, ...] = ()) -> int:
    """A BPF interpreter for the instructions that the filter uses."""
    data = struct.pack("=iIQ6Q", call, architecture, 0, *(arguments + (0,) * 6)[:6])
    accumulator, position = 0, 0
    while True:
        operation, if_true, if_false, value = struct.unpack_from("=HBBI", code, position * 8)
        position += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x15:
                position += if_true if accumulator == value else if_false
            case 0x35:
                position += if_true if accumulator >= value else if_false
            case 0x45:
                position += if_true if accumulator & value else if_false
            case 0x54:
                accumulator &= value
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"unknown instruction {operation:#x}")


EVERY_FILTER = [
    Filter(exec=e, fork=f, unix=u, network=n, guard_ports=g, signals=s, listen=f, attributes=u, shorten=e)  # type: ignore[arg-type]
    for e, f, u, n, g, s in product(
        (True, False), (True, False), (True, False), ("none", "tcp", "tcp+udp"), (True, False), ("self", "any")
    )
]


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_every_combination_ends_in_a_verdict_for_every_call(machine: str) -> None:
    for rules in EVERY_FILTER:
        code, _ = assemble(rules, pid=77, machine=machine)
        assert len(code) % 8 == 0 and len(code) // 8 < 4096
        for call in range(470):
            assert run(code, call, AUDIT[machine], (3, 1, 6)) in (ALLOW, EPERM, ENOSYS)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_another_architecture_is_denied_as_a_whole(machine: str) -> None:
    code, _ = assemble(Filter(), pid=1, machine=machine)
    assert run(code, 1, 0x40000003) == EPERM


def test_x32_calls_are_denied() -> None:
    code, _ = assemble(Filter(), pid=1, machine="x86_64")
    assert run(code, 0x40000000 | 1, AUDIT["x86_64"]) == EPERM


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_combinations_give_exactly_the_rights_they_name(machine: str) -> None:
    for rules in EVERY_FILTER:
        code, _ = assemble(rules, pid=77, machine=machine)

        def verdict(name: str, *arguments: int, code: bytes = code) -> int:
            return run(code, number(name, machine), AUDIT[machine], arguments)

        assert (verdict("execve") == ALLOW) == rules.exec
        assert verdict("clone3") == ENOSYS
        assert verdict("clone", 0x10000000) == EPERM
        assert (verdict("clone", 17) == ALLOW) == rules.fork
        assert verdict("clone", 0x3D0F00) == ALLOW  # the flags of pthread_create
        assert (verdict("kill", 1, 9) == ALLOW) == (rules.signals == "any")
        assert verdict("kill", 77, 9) == ALLOW
        assert (verdict("socket", 1, 1, 0) == ALLOW) == rules.unix
        assert (verdict("socket", 2, 0x80801, 0) == ALLOW) == (rules.network != "none")
        assert (verdict("socket", 10, 1, 6) == ALLOW) == (rules.network != "none")
        assert verdict("socket", 2, 1, 262) == EPERM
        assert verdict("socket", 2, 3, 1) == EPERM
        assert verdict("socket", 16, 3, 0) == EPERM
        assert (verdict("socket", 2, 2, 17) == ALLOW) == (rules.network == "tcp+udp")
        fast_open_denied = rules.network != "none" and rules.guard_ports
        assert (verdict("sendto", 3, 0, 0, 0x20000000) == EPERM) == fast_open_denied
        assert verdict("sendto", 3, 0, 0, 0x4000) == ALLOW
        assert verdict("ioctl", 0, 0x5412) == EPERM
        assert verdict("ioctl", 0, 0x5401) == ALLOW
        assert verdict("mount") == EPERM


@pytest.mark.parametrize("column", range(len(ARCHITECTURES)))
def test_no_number_stands_twice_in_the_table(column: int) -> None:
    numbers = [row[column] for row in NUMBERS.values() if row[column] >= 0]
    assert len(numbers) == len(set(numbers))


def test_the_numbers_are_the_kernel_headers() -> None:
    """Where the headers are installed they decide."""
    import pathlib
    import re

    for machine, column, path in (
        ("x86_64", 0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", 1, "/usr/include/asm-generic/unistd.h"),
    ):
        if not pathlib.Path(path).exists():
            continue
        text = pathlib.Path(path).read_text()
        known = {name: int(n) for name, n in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
        for name, row in NUMBERS.items():
            if name in known and row[column] >= 0:
                assert known[name] == row[column], f"{name} on {machine}"
