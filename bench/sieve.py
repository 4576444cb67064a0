"""What Sieve scripts cost: `python -m bench.sieve` prints milliseconds of a processor for 100 rules on a 50 kB message.

The scripts are compiled before; each run reads header and body anew, as each delivery does.  The body is text made of
words as often as those of a language are, once as it is, once in a multipart/alternative with both parts in base64.
"""

from __future__ import annotations

import base64
import random
import time
from functools import partial

from pillarbox.lib.sieve import SieveMessage, SieveState, compile_script, execute

RULES = 100
ROUNDS = 50
HEADER = (
    b"".join(
        b"Received: from relay%d.example (relay%d.example [192.0.2.%d])\n\tby mx.example with ESMTP id %d;"
        b" Tue, 3 Mar 2026 14:05:06 +0100\n" % (number, number, number, number)
        for number in range(6)
    )
    + b"From: Alice Example <alice@example.org>\nTo: "
    + b",\n ".join(b"Person %d <person%d@example.net>" % (number, number) for number in range(10))
    + b"\nCc: team@example.org\nSubject: =?utf-8?q?Some_subject_with_=C3=BC?= and more words\n"
    + b"List-Id: A list <dev.lists.example.org>\nDate: Tue, 3 Mar 2026 14:05:06 +0100\nMessage-ID: <x@example.org>\n"
    + b"".join(b"X-Field-%d: value %d\n" % (number, number) for number in range(20))
)

BODY_SIZE = 50_000
ENVELOPE = {"from": "alice@example.org", "to": "me+lists@example.com"}


def _body() -> str:
    """Some 50 kB of words, made of syllables; a few stand in every line, most are rare."""
    chance = random.Random(1)
    syllables = [first + second for first in "bcdfghklmnprstvwz" for second in "aeiou"]
    words = ["".join(chance.choices(syllables, k=chance.choice((1, 2, 2, 3, 3, 4)))) for _ in range(5000)]
    picked = chance.choices(words, [1 / (rank + 1) for rank in range(len(words))], k=BODY_SIZE // 4)
    lines = (" ".join(picked[at : at + 12]).capitalize() + "." for at in range(0, len(picked), 12))
    return "\n".join(lines)[:BODY_SIZE] + "\n"


_TEXT = _body()
_FOLDED = base64.encodebytes(_TEXT[: BODY_SIZE * 2 // 5].encode())
MESSAGES = {
    "plain text": (b"", _TEXT.encode()),
    "multipart in base64": (
        b'MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary="b"\n',
        b"".join(
            b"--b\nContent-Type: text/%s; charset=utf-8\nContent-Transfer-Encoding: base64\n\n%s" % (subtype, _FOLDED)
            for subtype in (b"plain", b"html")
        )
        + b"--b--\n",
    ),
}
"""Header fields and bodies."""

_KINDS = {
    "header :contains": 'header :contains ["subject", "x-thing"] "offer {0}"',
    "header :matches": 'header :matches "list-id" "*<list{0}.*>"',
    "header :regex": 'header :regex "subject" "^\\\\[list{0}-[a-z]+\\\\] .*(urgent|now)"',
    "address": 'anyof (address :is :domain "from" "host{0}.example.org", address :contains ["to", "cc"] "team{0}@")',
    "body :contains": 'body :contains "{1}"',
    "body :contains, two words": 'body :contains "{1} {2}"',
    "body :raw :contains": 'body :raw :contains "{1}"',
    "body :content": 'body :content "text/plain" :comparator "i;octet" :contains "{1}"',
    "body :matches": 'body :matches "*{1}?{2}*"',
    "body :regex": 'body :regex "(^|[^a-z]){1}[0-9]+ ?{2}"',
}
_REQUIRE = 'require ["fileinto", "regex", "body", "variables", "imap4flags", "envelope", "date"];\n'


def scripts() -> dict[str, str]:
    """Scripts by what their rules look at."""
    found = {
        kind: _REQUIRE
        + "".join(f'if {test.format(n, _word(n), _word(n + 7))} {{ addflag "$x{n}"; }}\n' for n in range(RULES))
        for kind, test in _KINDS.items()
    }
    usual = (
        'if header :contains ["subject", "x-thing"] "offer {0}" {{ fileinto "a{0}"; stop; }}\n',
        'if address :is :domain ["from", "sender"] "host{0}.example.org" {{ fileinto "a{0}"; stop; }}\n',
        'if header :matches "list-id" "*<list{0}.*>" {{ fileinto "lists.${{1}}"; stop; }}\n',
        'if anyof (address :contains ["to", "cc"] "team{0}@", envelope "from" "boss{0}@a.b") {{ addflag "$x{0}"; }}\n',
        'if allof (size :over 1M, exists "x-bulk-{0}") {{ discard; stop; }}\n',
    )
    mixed = "".join(usual[number % len(usual)].format(number) for number in range(RULES))
    return {"as people have them": _REQUIRE + mixed, **found}


def _word(number: int) -> str:
    """One of words such as rules look for, four to nine letters; hardly any is in the text."""
    chance = random.Random(number)
    return "".join(chance.choices("aabcdeefghiijklmnnooprrsstuvwy", k=4 + number % 6))


def main() -> None:
    """Measure and print."""
    state = SieveState(now=0)
    for title, (fields, body) in MESSAGES.items():
        header = HEADER + fields
        message = SieveMessage(header, len(header) + len(body) + 1, partial(tuple, (body,)), ENVELOPE)
        print(f"{title}, {message.size} octets:")
        for kind, text in scripts().items():
            begin = time.process_time()
            script = compile_script(text, name=kind)
            compiled = time.process_time() - begin
            times = []
            for _ in range(ROUNDS):
                begin = time.process_time()
                result = execute(script, message, state)
                times.append(time.process_time() - begin)
            assert not result.error and result.actions
            print(f"  {kind:26} {min(times) * 1e3:6.2f} ms  (compiled in {compiled * 1e3:.1f} ms)")


if __name__ == "__main__":
    main()
