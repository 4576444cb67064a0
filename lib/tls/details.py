"""How keys were agreed on and who signed: `key-exchange X25519 server-signature ECDSA (P-256) server-digest SHA256`.

In Postfix's words (TLS_README, "Obtaining information about the TLS session").  A resumed session has no signatures; a
`ssl` module that cannot be looked into (`native`) gives "".
"""

from __future__ import annotations

import ctypes
import ssl
from functools import lru_cache
from typing import Any

from pillarbox.lib.tls import native

# <openssl/ssl.h>
SSL_CTRL_GET_PEER_SIGNATURE_NID = 108
SSL_CTRL_GET_SIGNATURE_NID = 132
SSL_CTRL_GET_NEGOTIATED_GROUP = 134

# <openssl/obj_mac.h>
NID_RSA_PSS = 912

_CURVES = {"prime256v1": "P-256", "secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_OTHER_GROUPS = {"x25519": "X25519", "x448": "X448"}


def exchange_text(session: ssl.SSLObject) -> str:
    """The words for the log, without a blank before or behind them."""
    library = native.library()
    address = native.session_address(session) if library is not None else 0
    if library is None or not address:
        return ""
    words = []
    group = library.SSL_ctrl(address, SSL_CTRL_GET_NEGOTIATED_GROUP, 0, None)
    if group > 0 and (name := library.SSL_group_to_name(address, group)):
        words.append(f"key-exchange {_group(name.decode('ascii', 'replace'))}")
    own = _signature(library, address, library.SSL_get_signature_type_nid, SSL_CTRL_GET_SIGNATURE_NID)
    if own is not None:
        certificate = library.SSL_get_certificate(address)
        key = library.X509_get0_pubkey(certificate) if certificate else None
        words.append(f"server-signature {_signer(own[0], *_key(library, key))}")
        words += [f"server-digest {own[1]}"] if own[1] else []
    return " ".join(words)


def client_signature_text(session: ssl.SSLObject) -> str:
    """How the client signed: `client-signature ECDSA client-digest SHA256`; "" where it did not."""
    library = native.library()
    address = native.session_address(session) if library is not None else 0
    if library is None or not address:
        return ""
    found = _signature(library, address, library.SSL_get_peer_signature_type_nid, SSL_CTRL_GET_PEER_SIGNATURE_NID)
    if found is None:
        return ""
    return f"client-signature {_signer(found[0], 0, '')}" + (f" client-digest {found[1]}" if found[1] else "")


def _signature(library: Any, address: int, kind_of: Any, digest_control: int) -> tuple[int, str] | None:
    """The kind of key that signed, and the digest ("" where the kind has its own)."""
    kind, digest = ctypes.c_int(0), ctypes.c_int(0)
    if kind_of(address, ctypes.byref(kind)) != 1 or not kind.value:
        return None
    if library.SSL_ctrl(address, digest_control, 0, ctypes.byref(digest)) != 1 or not digest.value:
        return kind.value, ""
    name: bytes | None = library.OBJ_nid2sn(digest.value)
    return kind.value, (name or b"").decode("ascii", "replace")


def _key(library: Any, key: int | None) -> tuple[int, str]:
    """Size in bits, and the curve's name where it has one."""
    if not key:
        return 0, ""
    name = ctypes.create_string_buffer(64)
    curve = name.value if library.EVP_PKEY_get_group_name(key, name, len(name), None) == 1 else b""
    return library.EVP_PKEY_get_bits(key), curve.decode("ascii", "replace")


@lru_cache(maxsize=64)
def _group(name: str) -> str:
    if name in _CURVES:
        return f"ECDHE ({_CURVES[name]})"
    if name.startswith("ffdhe"):
        return f"DHE ({name.removeprefix('ffdhe')} bits)"
    return _OTHER_GROUPS.get(name, name)


@lru_cache(maxsize=64)
def _signer(kind: int, bits: int, curve: str) -> str:
    match kind:  # RSA, RSA-PSS, EC, Ed25519, Ed448
        case 6 | 912:
            name = "RSA-PSS" if kind == NID_RSA_PSS else "RSA"
            return f"{name} ({bits} bits)" if bits else name
        case 408:
            return f"ECDSA ({_CURVES.get(curve, curve)})" if curve else "ECDSA"
        case 1087:
            return "Ed25519"
        case 1088:
            return "Ed448"
    return "unknown"
