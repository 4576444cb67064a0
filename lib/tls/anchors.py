"""Authorities that alone are to be trusted, from PEM files, written as TLSA records (postconf(5) `tafile`)."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from pillarbox.lib.dns import TLSA
from pillarbox.lib.tls.dane import CERTIFICATE, DANE_TA, FULL, PUBLIC_KEY, usable
from pillarbox.lib.tls.errors import TlsError

SIZE_LIMIT = 256 * 1024

_BLOCK = re.compile(
    r"-----BEGIN (?:(?:TRUSTED |X509 )?(CERTIFICATE)|(PUBLIC KEY))-----(.*?)-----END [A-Z0-9 ]+-----", re.DOTALL
)


def read_anchors(file: str) -> tuple[TLSA, ...]:
    """The certificates and public keys of a file.  Raises TlsError."""
    try:
        with Path(file).open(encoding="latin-1") as stream:
            text = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise TlsError(f"cannot read the trust anchors in {file}: {error.strerror}") from None
    records = []
    for match in _BLOCK.finditer(text[:SIZE_LIMIT]):
        try:
            data = base64.b64decode("".join(match[3].split()), validate=True)
        except ValueError:
            raise TlsError(f"{file}: what stands in a PEM block is no base64") from None
        records.append(TLSA(DANE_TA, CERTIFICATE if match[1] else PUBLIC_KEY, FULL, data))
    found = usable(records)
    if not records or len(found) != len(set(records)) or len(text) > SIZE_LIMIT:
        raise TlsError(f"{file}: PEM certificates or public keys of authorities were expected, 32 at most")
    return found
