"""Scripts out of the RFCs, on messages that take each of their ways."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pillarbox.lib.sieve import SieveState
from pillarbox.lib.sieve.actions import Action, FileInto, Keep
from tests.sieve.asking import NOW, run
from tests.sieve.pigeonhole import ours

EXTENDED = """\
# Example Sieve Filter
require ["fileinto"];
if header :is "Sender" "owner-ietf-mta-filters@imc.org"
        {
        fileinto "filter";
        }
elsif address :DOMAIN :is ["From", "To"] "example.com"
        {
        keep;
        }
elsif anyof (NOT address :all :contains
               ["To", "Cc", "Bcc"] "me@example.com",
             header :matches "subject"
               ["*make*money*fast*", "*university*dipl*mas*"])
        {
        fileinto "spam";
        }
else
        {
        fileinto "personal";
        }
"""
"""RFC 5228 section 9."""


@pytest.mark.parametrize(
    "message, action",
    [
        ("Sender: owner-ietf-mta-filters@imc.org\n\n", FileInto("filter")),
        ("From: coyote@desert.example.org\nTo: roadrunner@acme.example.com\n\n", FileInto("spam")),
        ("From: a@example.com\nTo: me@example.com\n\n", Keep()),
        ("From: a@b.example\nTo: me@example.community\nSubject: hi\n\n", FileInto("personal")),
        ("From: a@b.example\nTo: me@example.community\nSubject: MAKE money FAST!\n\n", FileInto("spam")),
        ("From: a@b.example\nTo: me@example.community\nSubject: your university diplomas\n\n", FileInto("spam")),
    ],
)
def test_the_extended_example(message: str, action: Action) -> None:
    assert run(EXTENDED, message, required=False).actions == (action,)


_EXAMPLE = re.compile(r"^=== (.*)\n((?:.*\n)*?)--- message\n((?:.*\n)*?)--- done\n((?:(?!===).*\n?)*)", re.MULTILINE)
_EXAMPLES = _EXAMPLE.findall((Path(__file__).parent / "examples.txt").read_text())


@pytest.mark.parametrize("script, message, done", [each[1:] for each in _EXAMPLES], ids=[each[0] for each in _EXAMPLES])
def test_examples(script: str, message: str, done: str) -> None:
    state = SieveState(now=NOW, duplicate_seen=lambda _id, _seconds: "old" in message)
    # A message without body has no empty line that would end its header.
    result = run(script, message if "\n\n" in message else message + "\n", state=state)
    assert not result.error
    told = [line.replace("\r\n", "\\r\\n") for line in ours(result.actions, False).actions]
    assert told == done.strip().splitlines()


def test_no_example_is_overlooked() -> None:
    assert len(_EXAMPLES) == (Path(__file__).parent / "examples.txt").read_text().count("=== ") > 30
