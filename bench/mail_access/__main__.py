"""`python -m bench.mail_access [--only NAME ...] [--quick]`: mail access beside Debian's Dovecot in the same run.

2,000 realistic messages, and one mailbox of 100,000.  The two take turns, figure by figure, so that a slow minute of
the machine meets both.  A ratio says how many times as good as Dovecot it is: of rates ours / theirs, of times theirs /
ours.  The processor time per command (message, session, MB) is what to trust on a busy machine.  Needs root.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import traceback
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from bench.mail_access import idle
from bench.mail_access.figures import FIGURES, QUICK, WARM_UP, Effort, Figure, Unavailable
from bench.mail_access.servers import Server, Sizes, both
from bench.report import machine

IDLE = "idle"


def main() -> int:
    names = [figure.name for figure in FIGURES] + [IDLE]
    parser = argparse.ArgumentParser(prog="python -m bench.mail_access", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, help="so many rounds (3)")
    parser.add_argument("--big", type=int, help="messages of the large mailbox (100,000)")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the mailboxes lie")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("the benchmark needs root, because Dovecot does", file=sys.stderr)
        return os.EX_NOPERM
    wanted = [figure for figure in FIGURES if not options.only or figure.name in options.only]
    sizes = Sizes()
    if options.big is not None:
        sizes = replace(sizes, big=options.big)
    elif not any(figure.name.endswith("-big") for figure in wanted):
        sizes = replace(sizes, big=10)
    conditions = machine(options.directory)
    print(f"load before: {conditions['load_before']:.2f}; {conditions['processors']} x {conditions['processor']}")
    failed = 0
    if wanted:
        rounds = options.rounds or (1 if options.quick else 3)
        with both(options.directory, sizes) as servers:
            _heading()
            for figure in wanted:
                failed += not _figure(figure, servers, QUICK if options.quick else Effort(), rounds)
    if not options.only or IDLE in options.only:
        print(idle.measure(options.directory))
    return 1 if failed else 0


def _heading() -> None:
    print(
        f"{'figure':16} {'unit':>10} {'Pillarbox':>11} {'Dovecot':>11} {'ratio':>7} {'target':>7}  "
        f"{'':8} {'CPU ms':>9} {'Dovecot':>9} {'ratio':>6}"
    )


def _figure(figure: Figure, servers: tuple[Server, Server], effort: Effort, rounds: int) -> bool:
    """Measure and print one; whether that went well."""
    values: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    for number in range(-1 if figure.warm else 0, rounds):
        for server in servers:
            before = server.cpu()
            try:
                found = figure.measure(server, WARM_UP if number < 0 else effort)
            except Unavailable as error:
                print(f"{figure.name:16} {error}")
                return True
            except Exception:
                print(f"{figure.name:16} FAILED with {server.name}:\n{traceback.format_exc(limit=-2)}", flush=True)
                return False
            if number < 0:
                server.come_to_rest()
                continue
            values[server.name].append(found.value)
            costs[server.name].append(1000 * (server.cpu() - before) / found.operations)
    mine, other = (statistics.median(values[server.name]) for server in servers)
    my_cost, other_cost = (statistics.median(costs[server.name]) for server in servers)
    ratio = mine / other if figure.better == "more" else other / mine
    target = f"{figure.target:7.2f}" if figure.target is not None else "      -"
    met = "" if figure.target is None else "met" if ratio >= figure.target else "NOT MET"
    cpu = f"{other_cost / my_cost:6.2f}" if my_cost else "     -"
    print(
        f"{figure.name:16} {figure.unit:>10} {mine:11.2f} {other:11.2f} {ratio:7.2f} {target}  "
        f"{met:8} {my_cost:9.3f} {other_cost:9.3f} {cpu}",
        flush=True,
    )
    return True


if __name__ == "__main__":
    sys.exit(main())
