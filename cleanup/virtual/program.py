"""The service `cleanup-virtual`."""

from __future__ import annotations

from dataclasses import replace

from pillarbox.cleanup.program import PROGRAM as CLEANUP

PROGRAM = replace(CLEANUP, callers=("vmail_owner",))
