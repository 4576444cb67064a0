"""Fetch pip's newest wheel from the package index into the file named on the command line.

For interpreters without ensurepip, as Debian's python3 is without the package python3-venv.
"""

import os
import re
import sys
import urllib.parse
import urllib.request

index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
with urllib.request.urlopen(index, timeout=60) as answer:
    page, base = answer.read().decode(), answer.geturl()
wheels = re.findall(r'href="([^"]*/pip-(\d+(?:\.\d+)*)-py3-none-any\.whl[^"]*)"', page)
if not wheels:
    sys.exit(f"no wheel of pip at {index}; install the package python3-venv instead")
link, _ = max(wheels, key=lambda wheel: tuple(int(part) for part in wheel[1].split(".")))
with urllib.request.urlopen(urllib.parse.urljoin(base, link), timeout=60) as answer, open(sys.argv[1], "wb") as file:
    file.write(answer.read())
