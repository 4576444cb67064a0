"""LANG (RFC 6856 section 3): the language of the texts for people.  There is English."""

from __future__ import annotations

from pillarbox.pop3d.protocol import replies

LANGUAGE = "en"


def lang(argument: bytes) -> bytes | None:
    """The answer to LANG with this argument; None where there is no such language.

    A language range finds what begins like it (RFC 4647 section 3.3.1), `*` what the site prefers, and none all.
    """
    if not argument:
        return replies.listing(replies.LANGUAGES_FOLLOW, [f"{LANGUAGE} English"])
    wanted = argument.decode("ascii", "replace").lower()
    return replies.LANGUAGE_CHANGED if wanted in ("*", LANGUAGE) else None
