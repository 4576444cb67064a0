"""`python -m bench`: measure this suite against a private Postfix, print the table and keep it in bench/results/.

Both suites are started anew in each round and measured in turn, scenario by scenario, so that a slow minute of the
machine meets both. Needs root, as Postfix does.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.contenders import Contender, PillarboxContender, PostfixContender
from bench.load import Sink
from bench.measure import SCENARIOS, Scenario, memory_at_rest, sendmail_latency, start, stop, throughput, warm_up
from bench.report import machine, table, write
from tests.lab.dns import DnsServer, mail_zone
from tests.lab.ports import loopback_address
from tests.peers import install

_MAKERS: dict[str, Callable[[DnsServer, Path], PillarboxContender | PostfixContender]] = {
    "Pillarbox": PillarboxContender,
    "Postfix": PostfixContender,
}

# Load average per processor beyond which figures say more about the neighbours.
_BUSY = 0.25


class Run:
    """The figures of all rounds, and what went wrong."""

    def __init__(self, messages: int, scenarios: tuple[Scenario, ...], sink: Sink) -> None:
        self.values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.failures: list[str] = []
        self._messages, self._scenarios, self._sink = messages, scenarios, sink

    def round(self, contenders: list[Contender]) -> None:
        """Start all, measure each scenario in turn, stop all."""
        able = [each for each in contenders if self._step(each, "start", partial(start, each))]
        for each in able:
            self._step(each, "warm-up", partial(warm_up, each))
        for scenario in self._scenarios:
            for each in able:
                self._step(each, scenario.name, partial(throughput, each, scenario, self._messages, self._sink))
        for each in able:
            self._step(each, "sendmail", partial(sendmail_latency, each))
        for each in able:
            self._step(each, "memory", partial(memory_at_rest, each))
        for each in able:
            self._step(each, "stop", partial(stop, each))

    def _step(self, contender: Contender, what: str, measure: Callable[[], dict[str, float]]) -> bool:
        try:
            found = measure()
        except (AssertionError, OSError, ValueError) as error:
            tail = "\n".join(contender.log_tail())
            self.failures.append(f"{contender.name}, {what}: {error}\n{tail}")
            print(f"{contender.name}, {what}: FAILED: {error}\n{tail}", file=sys.stderr)
            return False
        for name, value in found.items():
            self.values[contender.name][name].append(value)
        shown = ", ".join(f"{name.rpartition(': ')[2]} {value:.2f}" for name, value in found.items())
        print(f"{contender.name:10} {what:22} {shown}", flush=True)
        return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round instead of three")
    parser.add_argument("--rounds", type=int, help="so many rounds")
    parser.add_argument("--messages", type=int, default=3000, help="messages per measurement at 20 sessions")
    parser.add_argument("--only", choices=sorted(_MAKERS), help="measure one suite only")
    parser.add_argument("--scenario", help="only scenarios whose name has this text, e.g. 'mailbox, 20'")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where queues and mailboxes lie")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("the benchmark needs root, because Postfix does; run it with sudo", file=sys.stderr)
        return os.EX_NOPERM
    if failed := install(["postfix"]):
        print("\n".join(failed.values()), file=sys.stderr)
        return os.EX_UNAVAILABLE
    rounds = options.rounds or (1 if options.quick else 3)
    names = [options.only] if options.only else list(_MAKERS)
    scenarios = tuple(each for each in SCENARIOS if not options.scenario or options.scenario in each.name)
    directory: Path = options.directory
    begin = time.time()
    conditions = machine(directory)
    versions: dict[str, str] = {}
    with Sink() as sink, DnsServer(mail_zone("sink.test", sink.address), address=loopback_address(), port=53) as dns:
        run = Run(options.messages, scenarios, sink)
        for number in range(rounds):
            print(f"--- round {number + 1} of {rounds}", flush=True)
            contenders: list[PillarboxContender | PostfixContender] = []
            try:
                for name in names:
                    try:
                        contenders.append(_MAKERS[name](dns, directory))
                    except AssertionError as error:
                        run.failures.append(f"{name}: {error}")
                        print(f"{name}: FAILED: {error}", file=sys.stderr)
                versions.update({each.name: each.version() for each in contenders})
                run.round(list(contenders))
            finally:
                for each in contenders:
                    each.remove()
    text = _text(run, rounds, options.messages, versions, conditions)
    print("\n" + text)
    record = {
        "machine": conditions,
        "versions": versions,
        "messages": options.messages,
        "rounds": rounds,
        "seconds": round(time.time() - begin, 1),
        "figures": {name: dict(values) for name, values in run.values.items()},
        "failures": run.failures,
    }
    if options.only or options.scenario:
        print("(a part of the benchmark: not kept)")
    else:
        print(f"kept in bench/results/{write(text, record).name}")
    return 1 if run.failures else 0


def _text(run: Run, rounds: int, messages: int, versions: dict[str, str], conditions: dict[str, object]) -> str:
    """The table with what one must know to read it."""
    method = (
        f"Medians of {rounds} round(s), lowest and highest in brackets; {messages} messages of 4 kB per measurement "
        "at 20 sessions, half as many at 1, one connection for each message; ratio = ours / theirs."
    )
    compared = ", ".join(f"{name} {version}" for name, version in versions.items())
    where = (
        f"{conditions['processors']} x {conditions['processor']}, {conditions['file_system']}, "
        f"Linux {conditions['kernel']}, Python {conditions['python']}, load before {conditions['load_before']:.2f}."
    )
    busy = float(str(conditions["load_before"])) > _BUSY * float(str(conditions["processors"]))
    note = "The machine was busy with other work when this began: compare nothing with these figures."
    warning = [note] if busy else []
    failures = [f"FAILED: {failure.splitlines()[0]}" for failure in run.failures]
    tables = table(run.values["Pillarbox"], run.values["Postfix"])
    return "\n".join([tables, "", method, f"{compared}; {where}", *warning, *failures])


if __name__ == "__main__":
    sys.exit(main())
