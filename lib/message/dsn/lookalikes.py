"""Domains that were probably meant: `gmial.com` is `gmail.com` mistyped.

Only domains of providers that very many people use are suggested, and only for a domain that is one slip of the
fingers away from one of them: a letter too many, too few, another, or two exchanged.
"""

from __future__ import annotations

PROVIDERS = (
    *("gmail.com", "googlemail.com", "yahoo.com", "yahoo.co.uk", "yahoo.fr", "yahoo.de", "yahoo.co.jp", "ymail.com"),
    *(
        "hotmail.com",
        "hotmail.co.uk",
        "hotmail.fr",
        "hotmail.de",
        "outlook.com",
        "outlook.de",
        "outlook.fr",
        "live.com",
    ),
    *("msn.com", "icloud.com", "aol.com", "protonmail.com", "proton.me", "fastmail.com", "zoho.com", "yandex.ru"),
    *("mail.ru", "gmx.de", "gmx.net", "gmx.at", "gmx.com", "web.de", "t-online.de", "freenet.de", "posteo.de"),
    *("orange.fr", "free.fr", "laposte.net", "wanadoo.fr", "libero.it", "btinternet.com", "comcast.net", "verizon.net"),
    *("sbcglobal.net", "bellsouth.net", "cox.net", "rediffmail.com", "naver.com", "qq.com", "163.com", "bluewin.ch"),
)

_ENDINGS = {
    "con": "com",
    "cmo": "com",
    "ocm": "com",
    "comm": "com",
    "vom": "com",
    "cm": "com",
    "nte": "net",
    "ent": "net",
}
_SHORT = 6
"""Domains of fewer characters are too near to each other to be guessed at."""


def lookalike(domain: str) -> str:
    """The provider's domain that was probably meant, "" where none is near or the domain is itself one."""
    domain = domain.lower().rstrip(".")
    if domain in PROVIDERS or not _SHORT <= len(domain) <= 40:
        return ""
    name, _, ending = domain.rpartition(".")
    repaired = f"{name}.{_ENDINGS.get(ending, ending)}"
    if repaired in PROVIDERS:
        return repaired
    for candidate in PROVIDERS:
        if len(candidate) >= _SHORT and (_one_slip(domain, candidate) or _one_slip(repaired, candidate)):
            return candidate
    return ""


def _one_slip(written: str, meant: str) -> bool:
    """Whether one insertion, deletion, substitution or exchange of neighbours makes one of the other."""
    if abs(len(written) - len(meant)) > 1:
        return False
    start = 0
    while start < min(len(written), len(meant)) and written[start] == meant[start]:
        start += 1
    a, b = written[start:], meant[start:]
    if len(a) == len(b):
        return a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:] and len(a) > 1)
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return longer[1:] == shorter
