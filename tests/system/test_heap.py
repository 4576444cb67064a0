"""What is done to the heap before a fork.  In a process of its own: what fills holes stays for good."""

from __future__ import annotations

import json
import subprocess
import sys

MEASURE = """
import json, os, sys
from pillarbox.lib.system.heap import fill_holes

blocks = [bytes(length) for length in (20, 100, 300, 470, 700) for _ in range(4000)]
del blocks[::2]  # holes between what lives
filled = fill_holes() if "fill" in sys.argv else 0

def written() -> int:
    with open("/proc/self/smaps_rollup", "rb") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(b"Private_Dirty"))

ours, theirs = os.pipe()
if os.fork() == 0:
    before = written()
    made = [bytes(length) for length in (20, 100, 300, 470, 700) for _ in range(200)]
    os.write(theirs, str(written() - before).encode())
    os._exit(0)
os.wait()
print(json.dumps([filled, int(os.read(ours, 20))]))
"""


def _measured(*arguments: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True)
    found: list[int] = json.loads(done.stdout)
    return found


def test_what_a_child_makes_lies_together() -> None:
    _, scattered = _measured()
    filled, together = _measured("fill")
    assert filled > 5000, "half of what was made had been given back"
    assert together < scattered / 2, "each page that the child writes into is full of its own"
