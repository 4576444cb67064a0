"""Messages for the tests of this area, a generator of random ones, and what the standard library makes of them."""

from __future__ import annotations

import email
import email.message
from email import policy
from typing import Any

from hypothesis import strategies as st

from pillarbox.lib.mime import Part

MIXED = b"""From: a@x.org
To: b@y.org
Subject: mixed
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="out"

preamble
--out
Content-Type: multipart/alternative; boundary=out-in

--out-in

plain
text
--out-in
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<p>html</p>
--out-in--
between
--out
Content-Type: message/rfc822

From: c@z.org
Subject: inner
Content-Type: multipart/mixed; boundary=deep

--deep
Content-Type: image/png; name="a b.png"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="a b.png"

aGVsbG8=
--deep--
--out--
epilogue
"""

Shape = tuple[str, tuple["Shape", ...]]


def shape(part: Part) -> Shape:
    """Types and nesting of our tree, without the stand-in of an empty multipart."""
    children = tuple(shape(child) for child in part.children)
    return f"{part.type.decode()}/{part.subtype.decode()}", children


def library_shape(message: email.message.Message[str, str]) -> Shape:
    """The same of the standard library's tree."""
    payload: Any = message.get_payload()
    children = tuple(library_shape(child) for child in payload) if isinstance(payload, list) else ()
    return message.get_content_type(), children


def library_tree(content: bytes) -> email.message.Message[str, str]:
    return email.message_from_bytes(content, policy=policy.compat32)


def crlf(content: bytes) -> bytes:
    """`content` with CRLF line ends."""
    return content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


_LINES = st.lists(st.sampled_from(["", "text", "-- ", "--", "a: b", " folded", "From here", "--other--"]), max_size=4)


@st.composite
def messages(draw: st.DrawFn, depth: int = 3, name: str = "b") -> str:
    """A well-formed message or part with random structure; boundaries are prefixes of each other on purpose."""
    kind = draw(st.sampled_from(["text", "html", "none", "multi", "digest", "rfc822"] if depth else ["text", "none"]))
    header = "X-Before: 1\n" if draw(st.booleans()) else ""
    if kind in ("multi", "digest"):
        count = draw(st.integers(1, 3))
        parts = [draw(messages(depth=depth - 1, name=f"{name}{i}")) for i in range(count)]
        subtype = "mixed" if kind == "multi" else "alternative"
        quoted = f'"{name}"' if draw(st.booleans()) else name
        body = "".join(f"--{name}\n{part}\n" for part in parts) + f"--{name}--\n"
        preamble = "preamble\n" if draw(st.booleans()) else ""
        return f"{header}Content-Type: multipart/{subtype};\n boundary={quoted}\n\n{preamble}{body}"
    if kind == "rfc822":
        return f"{header}Content-Type: message/rfc822\n\n{draw(messages(depth=depth - 1, name=name + 'm'))}"
    body = "\n".join(draw(_LINES))
    media = {"text": "Content-Type: text/plain\n", "html": "Content-Type: text/html\n", "none": ""}[kind]
    return f"{header}{media}\n{body}\n"
