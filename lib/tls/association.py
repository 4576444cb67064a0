"""Comparing a chain of certificates with TLSA records without OpenSSL's engine: for an `ssl` module of another make.

Narrower than OpenSSL where it is not sure: a path with name constraints or with an extension that it does not know is
no path.  Certificates come from a stranger: whatever is wrong with them, the answer is `Mismatch`.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from pillarbox.lib.dns import TLSA
from pillarbox.lib.tls.dane import CERTIFICATE, DANE_EE, DANE_TA, FULL, selected
from pillarbox.lib.tls.hostname import matches

CHAIN_LIMIT = 10
"""Certificates of a chain that are looked at; real ones have two or three."""

_KNOWN_CRITICAL = frozenset(
    {"2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37", "2.5.29.32"}
)  # key usage, alternative names, basic constraints, extended key usage, policies


class Mismatch(Exception):
    """The chain is not what the records say.  `code` is OpenSSL's number for it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


NO_MATCH, EXPIRED, NOT_YET_VALID, HOST_MISMATCH, NOT_TRUSTED = 65, 10, 9, 62, 20
"""X509_V_ERR_... of <openssl/x509_vfy.h>."""


def authenticate(chain: Sequence[bytes], records: Sequence[TLSA], names: Sequence[str], now: float) -> TLSA:
    """The record with which a chain (DER, the server's own first) agrees.  Raises Mismatch.

    `names` are those that count for DANE-TA; DANE-EE looks at neither names nor dates (RFC 7672 section 3.1.1).
    """
    try:
        certificates = [x509.load_der_x509_certificate(data) for data in chain[:CHAIN_LIMIT]]
        keys = [_key(certificate) for certificate in certificates]
    except Exception as error:
        raise Mismatch(NOT_TRUSTED, f"a certificate that cannot be read: {error}") from None
    if not certificates:
        raise Mismatch(NOT_TRUSTED, "no certificate")
    for record in records:
        if record.usage == DANE_EE and selected(record, chain[0], keys[0]):
            return record
    anchors = [record for record in records if record.usage == DANE_TA]
    if not anchors:
        raise Mismatch(NO_MATCH, "no TLSA record matches")
    record, path = _path(certificates, list(chain), keys, anchors)
    _check_path(path, datetime.datetime.fromtimestamp(now, datetime.UTC).replace(tzinfo=None))
    if not matches(names, _dns_names(certificates[0])):
        raise Mismatch(HOST_MISMATCH, "the certificate is for another name")
    return record


def _key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _path(
    certificates: list[x509.Certificate], encoded: list[bytes], keys: list[bytes], anchors: list[TLSA]
) -> tuple[TLSA, list[x509.Certificate]]:
    """The certificates from the server's own to the one that an anchor vouches for, which is the last if known."""
    given = [
        (record, x509.load_der_x509_certificate(record.data))
        for record in anchors
        if record.matching == FULL and record.selector == CERTIFICATE
    ]
    path = [certificates[0]]
    left = list(range(1, len(certificates)))
    while True:
        last = path[-1]
        for record in anchors:
            if record.matching == FULL and record.selector != CERTIFICATE and _signed_by_key(last, record.data):
                return record, path
        for record, anchor in given:
            if _issued(last, anchor):
                return record, [*path, anchor]
        for number in left:
            if _issued(last, certificates[number]):
                path.append(certificates[number])
                left.remove(number)
                for record in anchors:
                    if selected(record, encoded[number], keys[number]):
                        return record, path
                break
        else:
            raise Mismatch(NO_MATCH, "no TLSA record matches")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _signed_by_key(certificate: x509.Certificate, key: bytes) -> bool:
    public = load_der_public_key(key)
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    try:
        digest = certificate.signature_hash_algorithm
        match public:
            case rsa.RSAPublicKey() if digest is not None:
                scheme = certificate.signature_algorithm_parameters
                public.verify(
                    signature, signed, scheme if isinstance(scheme, padding.PSS) else padding.PKCS1v15(), digest
                )
            case ec.EllipticCurvePublicKey() if digest is not None:
                public.verify(signature, signed, ec.ECDSA(digest))
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
                public.verify(signature, signed)
            case _:
                return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _check_path(path: list[x509.Certificate], now: datetime.datetime) -> None:
    """RFC 5280 section 6.1, as far as it matters here.  Raises Mismatch."""
    for depth, certificate in enumerate(path):
        if now > certificate.not_valid_after_utc.replace(tzinfo=None):
            raise Mismatch(EXPIRED, "certificate has expired")
        if now < certificate.not_valid_before_utc.replace(tzinfo=None):
            raise Mismatch(NOT_YET_VALID, "certificate is not yet valid")
        try:
            extensions = certificate.extensions
        except Exception as error:
            raise Mismatch(NOT_TRUSTED, f"extensions that cannot be read: {error}") from None
        by_oid = {extension.oid.dotted_string: extension for extension in extensions}
        if any(extension.critical and oid not in _KNOWN_CRITICAL for oid, extension in by_oid.items()):
            raise Mismatch(NOT_TRUSTED, "an extension that is critical and not known")
        if "2.5.29.30" in by_oid:
            raise Mismatch(NOT_TRUSTED, "name constraints, which are not understood here")
        _check_place(depth, by_oid)


def _check_place(depth: int, by_oid: dict[str, x509.Extension[x509.ExtensionType]]) -> None:
    usage = by_oid.get("2.5.29.15")
    purposes = by_oid.get("2.5.29.37")
    wanted = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if purposes is not None and isinstance(purposes.value, x509.ExtendedKeyUsage) and not wanted & set(purposes.value):
        raise Mismatch(NOT_TRUSTED, "unsuitable certificate purpose")
    if depth == 0:
        return
    basic = by_oid.get("2.5.29.19")
    if basic is None or not isinstance(basic.value, x509.BasicConstraints) or not basic.value.ca:
        raise Mismatch(NOT_TRUSTED, "a certificate that signs others without being an authority's")
    limit = basic.value.path_length
    if limit is not None and depth - 1 > limit:
        raise Mismatch(NOT_TRUSTED, "a path that is longer than an authority allows")
    if usage is not None and isinstance(usage.value, x509.KeyUsage) and not usage.value.key_cert_sign:
        raise Mismatch(NOT_TRUSTED, "a key that may not sign certificates")


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = found.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    if names:
        return list(names)
    common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return [str(attribute.value) for attribute in common[-1:]]
