"""Messages that scripts look at."""

from __future__ import annotations

from pillarbox.lib.sieve import ALL, SieveMessage, SieveState, compile_script, execute
from pillarbox.lib.sieve.header import Header

_TESTS = (
    'header :matches ["subject", "from", "x"] "*a*b*"',
    'header :regex "subject" "(a+)+b"',
    'header :index 2 :last :value "gt" :comparator "i;ascii-numeric" "received" "5"',
    'address :detail :contains ["from", "to", "cc"] "x"',
    'address :domain :count "ge" ["to", "cc"] "3"',
    'exists :mime :anychild "content-id"',
    'body :raw :contains "a"',
    'body :text :matches "*b?c*"',
    'body :content ["text", "multipart", "message"] :contains "x"',
    'date :zone "-1200" :value "gt" "date" "iso8601" "2"',
    'date :originalzone :contains "received" "std11" "1"',
    'header :mime :anychild :param ["name", "filename"] "content-type" "x"',
    'header :mime :anychild :contenttype "content-type" "text/plain"',
)
_SCRIPT = compile_script(
    "require ["
    + ", ".join(f'"{name}"' for name in sorted(ALL))
    + "];"
    + "".join(f'if {test} {{ addflag "t{number}"; }}' for number, test in enumerate(_TESTS))
    + 'foreverypart { extracttext :first 9 "t"; set "n" "${n}${t}"; foreverypart { set "n" "${n}i"; } }'
    + 'deleteheader :contains "x" "a"; addheader "X-N" "${n}"; vacation "x";',
    name="s",
)


def fuzz(data: bytes) -> None:
    """Whatever the mail, the script runs to its end; a header that is edited has one field more or fewer."""
    header, _, body = data.partition(b"\n\n")
    message = SieveMessage(header + b"\n", len(data), lambda: (body[:7], body[7:]), {"from": "", "to": "a@example.org"})
    result = execute(_SCRIPT, message, SieveState(now=0))
    assert not result.error, result.error
    edited = getattr(result.actions[-1], "header", None)
    assert edited is not None
    gone = sum("a" in value.lower() for value in Header(header + b"\n").values("x"))
    assert len(Header(edited).fields) == len(Header(header + b"\n").fields) - gone + 1
