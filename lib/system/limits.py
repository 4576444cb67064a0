"""Resource limits of a process (setrlimit(2)): what keeps one broken program from taking the machine with it.

Promises: limits are only lowered, both soft and hard, except open files, whose soft limit is raised to what was
asked as far as the hard limit allows.  `None` leaves a limit as it is.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, counts, seconds; see setrlimit(2).  Core files are off unless asked for: they hold mail and keys."""

    open_files: int | None = 4096
    file_size: int | None = None
    data: int | None = None
    processes: int | None = None
    cpu_seconds: int | None = None
    core: int | None = 0

    def apply(self) -> None:
        """Set the limits on this process.  Never raises because a limit is already lower."""
        _lower(resource.RLIMIT_CORE, self.core)
        _lower(resource.RLIMIT_FSIZE, self.file_size)
        _lower(resource.RLIMIT_DATA, self.data)
        _lower(resource.RLIMIT_NPROC, self.processes)
        _lower(resource.RLIMIT_CPU, self.cpu_seconds)
        if self.open_files is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            wanted = self.open_files if hard == resource.RLIM_INFINITY else min(self.open_files, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))


def _lower(which: int, wanted: int | None) -> None:
    if wanted is None:
        return
    _, hard = resource.getrlimit(which)
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(which, (value, value))


def open_files() -> int:
    """How many files this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
