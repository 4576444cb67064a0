"""`python -m tests.peers install [NAME...]`: unpack the peers that tests and benchmark need (without a name all
but those that are wanted by name only).
`python -m tests.peers run NAME PROGRAM [ARGUMENT...]`: run an unpacked program by hand."""

from __future__ import annotations

import os
import sys

from tests.peers.catalogue import PEERS, USUAL
from tests.peers.install import PeerUnavailable, install, peer

_USAGE = "usage: python -m tests.peers install [NAME...] | run NAME PROGRAM [ARGUMENT...]"


def main(arguments: list[str]) -> int:
    match arguments:
        case ["install", *names]:
            failed = install(names or USUAL)
            for name, reason in failed.items():
                print(f"{name}: {reason}", file=sys.stderr)
            needed = [name for name in failed if name in names or not PEERS[name].best_effort]
            return os.EX_UNAVAILABLE if needed else os.EX_OK
        case ["run", name, *command] if command:
            try:
                found = peer(name)
                argv = found.command(command)
            except (PeerUnavailable, FileNotFoundError) as error:
                print(error, file=sys.stderr)
                return os.EX_UNAVAILABLE
            os.execvpe(argv[0], argv, found.environment())
    print(_USAGE, file=sys.stderr)
    return os.EX_USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
