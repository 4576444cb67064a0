"""Charsets of mail: from the names that messages and SEARCH carry to codecs, and text from octets in pieces.

Only codecs that turn octets into text run; a charset that is not known is read as ASCII with replacement characters,
so that a search still finds the ASCII words.

All codecs are loaded with this module, because they are found in files, and a confined process can open none of those
any more: it would take every charset for an unknown one.
"""

from __future__ import annotations

import codecs
import encodings
import pkgutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache

_ALIASES = {
    "x-sjis": "cp932",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "iso-8859-6-i": "iso-8859-6",
    "x-mac-cyrillic": "mac-cyrillic",
    "x-gbk": "gb18030",
    "x-euc-jp": "euc-jp",
    "x-user-defined": "latin-1",
    "unknown-8bit": "latin-1",
    "x-unknown": "latin-1",
    "default": "ascii",
}
"""Names that mail uses: unknown to the codec registry, or in practice the superset that vendors' programs write."""


_NO_CHARSETS = frozenset(("aliases", "charmap", "idna", "mbcs", "oem", "punycode", "undefined"))
_NO_CHARSETS |= {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"}
_NO_CHARSETS |= {"raw_unicode_escape", "unicode_escape"}
"""What lies beside the charsets in the same folder."""


def _load_codecs() -> None:
    for module in pkgutil.iter_modules(encodings.__path__):
        if module.name in _NO_CHARSETS:
            continue
        with suppress(LookupError):  # those of other operating systems
            codecs.lookup(module.name)


_load_codecs()


@lru_cache(maxsize=256)
def find_codec(name: str) -> str | None:
    """The codec's name for a charset, None where there is no such charset."""
    wanted = name.strip().lower()
    try:
        info = codecs.lookup(_ALIASES.get(wanted, wanted))
    except (LookupError, ValueError):
        return None
    # Codecs that are not text (zlib, hex) must not run on mail; "idna" and "punycode" are text but no charsets.
    if not getattr(info, "_is_text_encoding", True) or info.name.replace("-", "_") in _NO_CHARSETS:
        return None
    return info.name


def decode_text(charset: str, chunks: Iterable[bytes]) -> Iterator[str]:
    """Octets of a text in pieces; wrong sequences become replacement characters."""
    codec = find_codec(charset) or "ascii"
    decoder = codecs.getincrementaldecoder(codec)("replace")
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)
