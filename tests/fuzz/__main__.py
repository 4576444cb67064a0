"""Runs one target; see the package."""

from __future__ import annotations

import argparse
import importlib
import os
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

try:
    import atheris
except ImportError:
    atheris = None

HERE = Path(__file__).parent
SEEDS = HERE / "seeds"

LONGEST = 4096
"""Octets of an input: parsers that hold a line or a header are at their limits with it, and runs stay quick."""


def names() -> list[str]:
    """The targets."""
    return sorted(path.stem for path in (HERE / "targets").glob("[!_]*.py"))


def load(name: str) -> Callable[[bytes], None]:
    """The function of a target."""
    found: Callable[[bytes], None] = importlib.import_module(f"tests.fuzz.targets.{name}").fuzz
    return found


def seeds(name: str) -> list[Path]:
    """What a target begins with."""
    return sorted((SEEDS / name).iterdir())


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Look for inputs that break a parser.")
    parser.add_argument("target", nargs="?", choices=[*names(), "-"], help="without one: list them; -: as stdin says")
    parser.add_argument("--runs", type=int, default=-1, help="inputs to try")
    parser.add_argument("--seconds", type=int, default=60, help="time to take, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers; 0: another one each time")
    options = parser.parse_args()
    if options.target is None:
        print("\n".join(names()))
        return 0
    if options.target == "-":
        return _series(options)
    return _run(options.target, _loaded(options.target), options)


def _series(options: argparse.Namespace) -> int:
    """Run the target that each line of standard input names, and say its exit status on a line of standard output.

    Each runs in a process of its own, forked from this one, so that what several targets import is instrumented once.
    """
    for line in sys.stdin:
        name = line.strip()
        fuzz = _loaded(name)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
                status = _run(name, fuzz, options)
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return 0


def _loaded(name: str) -> Callable[[bytes], None]:
    """The function of a target, with what it imports made to tell the fuzzer where it goes."""
    if atheris is None:
        return load(name)
    with atheris.instrument_imports(include=["pillarbox"]):
        return load(name)


def _run(name: str, fuzz: Callable[[bytes], None], options: argparse.Namespace) -> int:
    if atheris is None:
        return _blind(name, fuzz, options.runs if options.runs > 0 else 100_000, options.seed)
    return _guided(name, fuzz, options)


def _guided(name: str, fuzz: Callable[[bytes], None], options: argparse.Namespace) -> int:
    """Coverage decides which inputs are worth going on from."""
    with tempfile.TemporaryDirectory() as corpus:
        arguments = [
            sys.argv[0],
            corpus,
            str(SEEDS / name),
            f"-runs={options.runs}",
            f"-max_total_time={options.seconds}",
            f"-seed={options.seed}",
            f"-max_len={LONGEST}",
            "-timeout=20",
            "-rss_limit_mb=1024",
            "-verbosity=0",
        ]
        atheris.Setup(arguments, fuzz)
        atheris.Fuzz()
    return 0


def _blind(name: str, fuzz: Callable[[bytes], None], runs: int, seed: int) -> int:
    """Without the fuzzer: seeds with octets changed, cut, doubled and put together."""
    chance = random.Random(seed or None)
    known = [path.read_bytes() for path in seeds(name)]
    for _ in range(runs):
        data = bytearray(chance.choice(known))
        for _ in range(chance.randrange(1, 8)):
            place = chance.randrange(len(data) + 1)
            match chance.randrange(5):
                case 0:
                    data[place:place] = bytes((chance.randrange(256),))
                case 1:
                    del data[place : place + chance.randrange(1, 9)]
                case 2:
                    data[place:place] = data[place : place + chance.randrange(1, 40)]
                case 3:
                    data[place:] = chance.choice(known)[chance.randrange(len(known[0]) + 1) :]
                case _:
                    data[place : place + 1] = chance.choice((b"\r\n", b"\n", b"\0", b"\xff", b".", b" ", b"<", b'"'))
        try:
            fuzz(bytes(data[:LONGEST]))
        except BaseException:
            print(f"{name} breaks at {bytes(data[:LONGEST])!r}", file=sys.stderr)
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
