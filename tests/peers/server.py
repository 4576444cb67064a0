"""What all private servers have in common: entering starts one, leaving stops and deletes it."""

from __future__ import annotations

import abc
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.processes import in_a_test


class PrivateServer(abc.ABC):
    """A context manager, or `start()`, `stop()` and `remove()`.  `label` names it above its log."""

    directory: Path
    label: str

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is not None or in_a_test():
            print(f"--- log of {self.label} ---\n" + "\n".join(self.log_lines()))
        self.remove()

    @abc.abstractmethod
    def start(self) -> None:
        """Start it and return when it accepts connections. Raises AssertionError with its log."""

    @abc.abstractmethod
    def stop(self) -> None:
        """End it and all its processes; a second time does nothing."""

    @abc.abstractmethod
    def log_lines(self) -> list[str]:
        """What it said so far."""

    def remove(self) -> None:
        """Delete its directory."""
        shutil.rmtree(self.directory, ignore_errors=True)
