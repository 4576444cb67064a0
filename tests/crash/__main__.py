"""`python -m tests.crash`: 20,000 deliveries over a flaky network while every program is killed; needs root.

Prints the account (`accounting.py`), and ends with status 1 where a message was lost or cut, a duplicate has no
explanation, or a queue file was damaged.
"""

from __future__ import annotations

import argparse
import sys

from tests.crash.flaky import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=600)
    parser.add_argument("--power-failures", type=int, default=10)
    parser.add_argument("--seed", type=int, default=20261126)
    options = parser.parse_args()
    account = run(options.messages, options.kills, options.power_failures, options.seed)
    print(account)
    return 1 if account.lost or account.cut or account.unexplained or account.corrupt else 0


if __name__ == "__main__":
    sys.exit(main())
