"""The modification sequences of a Maildir that came from another store run ahead of the clock.

Those of an index are microseconds, so that one that is made anew gives higher ones than any before.  Where clients know
higher ones from the store in which the mailbox was, a file says how much higher; it outlives the index.
"""

from __future__ import annotations

import os
import time
from typing import Final

from pillarbox.lib.system.files import READING, write_file

NAME: Final = "pillarbox-modseq"


def ahead(directory: str) -> int:
    """Microseconds by which modification sequences of the mailbox are ahead of the clock."""
    try:
        with open(os.open(f"{directory}/{NAME}", READING), "rb") as file:
            return max(0, int(file.read(32)))
    except (OSError, ValueError):
        return 0


def set_floor(directory: str, highest: int) -> None:
    """All that will be given are above `highest`.  Raises OSError."""
    lead = highest - time.time_ns() // 1000
    if lead > ahead(directory):
        write_file(f"{directory}/{NAME}", b"%d\n" % lead, 0o600)
