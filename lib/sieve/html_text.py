"""The text of HTML as far as tests need it (RFC 5173 section 5.3): without its marks, in linear time."""

from __future__ import annotations

import html
import re

_UNSEEN = re.compile(
    r"<(script|style|head)\b(?:[^<]++|<(?!/\1))*+(?:</\1[^>]*+>?|\Z)|<!--(?:[^-]++|-(?!->))*+(?:-->|\Z)", re.IGNORECASE
)
_BLOCK = re.compile(r"</?(?:p|br|div|tr|td|li|h[1-6]|table|ul|ol|blockquote|pre)\b[^<>]*+>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*+>")


def html_text(written: str) -> str:
    """What is shown; where blocks begin and end stands a line end."""
    return html.unescape(_TAG.sub("", _BLOCK.sub("\r\n", _UNSEEN.sub("", written))))
