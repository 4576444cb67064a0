"""Address extensions: `user+folder` is delivered to `user` (postconf(5), recipient_delimiter).

Promises: the first delimiter found splits; an address that names a person in charge never splits; what is left is
never empty.
"""

from __future__ import annotations

_NEVER_SPLIT = frozenset(("postmaster", "mailer-daemon", "double-bounce"))


def split_extension(local: str, delimiters: str) -> tuple[str, str | None]:
    """Split an unquoted local part into (user, extension); the extension is None where there is none.

    `delimiters` is a set of characters, "" = extensions are off.  `owner-x` and `x-request` stay whole where `-` is a
    delimiter: they are mailing list addresses.
    """
    if not delimiters:
        return local, None
    lower = local.lower()
    if lower in _NEVER_SPLIT:
        return local, None
    if "-" in delimiters and (lower.startswith("owner-") or lower.endswith("-request")):
        return local, None
    for position, character in enumerate(local):
        if character in delimiters:
            return (local[:position], local[position + 1 :]) if position else (local, None)
    return local, None
