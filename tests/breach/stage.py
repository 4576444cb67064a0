"""A launched instance with attackers inside, and what they report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.lab.ports import SERVICE_PORTS, base_port
from tests.lab.processes import stop_process

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 40.0
"""Seconds until the attackers must have reported; they take about three."""


class Stage:
    """A context manager: the instance runs inside it."""

    def __init__(
        self,
        services: Sequence[str],
        *,
        uid: int = 0,
        main: Mapping[str, str] | None = None,
        further: Mapping[str, object] | None = None,
        users: Sequence[int] = (),
        aliases: Sequence[str] = (),
    ) -> None:
        """`services`: of the shipped master.yaml, those whose attackers are waited for; `further`: more services.

        `OUTSIDE` in a text stands for a directory that everybody may write to.
        """
        self.services = services
        self.base_port = base_port()
        self.directory = Path(tempfile.mkdtemp(prefix="pillarbox-breach-"))
        self.directory.chmod(0o755)
        self.root = self.directory / "instance"
        self.outside = self.directory / "outside"
        self.outside.mkdir()
        self.outside.chmod(0o1777)
        self._uid = uid
        self._order = {
            "root": str(self.root),
            "outside": str(self.outside),
            "base_port": self.base_port,
            "main": dict(main or {}),
            "services": dict(further or {}),
            "users": list(users),
            "aliases": list(aliases),
            "uid": uid,
        }
        self.reports: list[dict[str, Any]] = []
        self.outcomes: dict[str, dict[str, str]] = {}
        """service -> attack -> what came of it, of the worker that reported last."""
        self._done: set[str] = set()
        self._changed = threading.Condition()

    def __enter__(self) -> Stage:
        if self._uid:
            os.chown(self.directory, self._uid, self._uid)
            os.chown(self.outside, self._uid, self._uid)
        ours, theirs = os.pipe()
        self._order["report"] = theirs
        self._errors = (self.directory / "errors").open("w+b")
        order = json.dumps(self._order).replace("OUTSIDE", str(self.outside))
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.breach.launcher", order],
            cwd="/",
            env={**os.environ, "PYTHONPATH": f"{REPOSITORY}/src:{REPOSITORY}"},
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            pass_fds=(theirs,),
            start_new_session=True,
        )
        os.close(theirs)
        threading.Thread(target=self._collect, args=(ours,), daemon=True).start()
        try:
            self.wait_for(lambda: {*self.services, "control"} <= self._done)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it and delete its directory."""
        stop_process(self.process, 20)
        self._errors.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _collect(self, source: int) -> None:
        with os.fdopen(source, "rb") as lines:
            for line in lines:
                report = json.loads(line)
                with self._changed:
                    self._take(report)
                    self._changed.notify_all()

    def _take(self, report: dict[str, Any]) -> None:
        self.reports.append(report)
        service = str(report["service"])
        if "attack" in report:
            self.outcomes.setdefault(service, {})[str(report["attack"])] = str(report["outcome"])
        if "done" in report:
            self._done.add(service)

    def wait_for_child(self, name: str) -> None:
        """Wait until a child of a root parent has been attacked; it reports to a file."""

        def reported() -> bool:
            for path in self.outside.glob(f"{name}.*"):
                lines = path.read_text().splitlines()
                if lines and '"done"' in lines[-1]:
                    for line in lines:
                        self._take(json.loads(line))
                    return True
            return False

        self.wait_for(reported)

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Return when `condition()` holds; AssertionError with the log where it does not come true."""
        end = time.monotonic() + PATIENCE
        while not condition():
            ended = self.process.poll() is not None
            if ended or time.monotonic() > end:
                log = [line for line in self.log().splitlines() if ": confined: " not in line]
                raise AssertionError(
                    f"the instance {'ended' if ended else 'does not get there'};"
                    f" missing: {sorted({*self.services, 'control'} - self._done)}\n"
                    + "\n".join([*self.errors().splitlines()[-10:], *log[-20:]])
                )
            with self._changed:
                self._changed.wait(0.05)

    def reported(self, service: str, member: str) -> list[list[Any]]:
        """A member of the reports of all workers of a service."""
        return [report[member] for report in self.reports if report["service"] == service and member in report]

    def port(self, service: str) -> int:
        """The port of "smtp", "submission", ..."""
        return self.base_port + SERVICE_PORTS[service]

    def log(self) -> str:
        """The log so far."""
        path = self.root / "log" / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def errors(self) -> str:
        """What the launcher wrote to its standard error."""
        return (self.directory / "errors").read_text(errors="replace")
