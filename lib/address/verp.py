"""Variable envelope return paths: the recipient as part of the sender, so that a list knows which address bounces.

`owner@list.example` with the delimiters `+=` becomes `owner+user=domain.example@list.example` for the recipient
`user@domain.example` (VERP_README of Postfix).
"""

from __future__ import annotations

import re

_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_ATOMS = re.compile(r"[^\s\"(),:;<>@\[\]\\\x00-\x1f\x7f]+")


def verp_sender(sender: str, delimiters: str, recipient: str) -> str:
    """The sender for one recipient; the null sender stays what it is.  `delimiters` are two characters."""
    if not sender:
        return ""
    owner, at, origin = sender.rpartition("@") if "@" in sender else (sender, "", "")
    user, _, domain = recipient.rpartition("@") if "@" in recipient else (recipient, "", "")
    local = f"{_bare(owner)}{delimiters[0]}{_bare(user)}"
    if domain:
        local += f"{delimiters[1]}{domain}"
    return f"{_written(local)}{at}{origin}"


def good_delimiters(delimiters: str, allowed: str) -> bool:
    """Whether these are two characters that `verp_delimiter_filter` has."""
    return len(delimiters) == 2 and all(character in allowed for character in delimiters)


def _bare(local: str) -> str:
    """A local part without its quotes (RFC 5321 section 4.1.2: quoted-string)."""
    if len(local) > 1 and local[0] == local[-1] == '"':
        return _QUOTED_PAIR.sub(r"\1", local[1:-1])
    return local


def _written(local: str) -> str:
    """A local part, quoted where its characters ask for it (a domain literal does)."""
    if _ATOMS.fullmatch(local) and not (local.startswith(".") or local.endswith(".") or ".." in local):
        return local
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
