"""Addresses of the Sender Rewriting Scheme, as strangers may write to them."""

from __future__ import annotations

from pillarbox.lib.address.srs import Srs, SrsError

_SRS = Srs("example.com", (b"tops3cr3t",))
_NOW = 1577836860.0
_MADE = ("otherdomain.comtest", "hosta.comsrs0=xxxx=yy=other.com=u")
"""Where the seeds lead, which were made with the key: domain and local part, between which the hash of this scheme does
not tell.  Whoever has an address for `example.com` has one for `example.co`, too; a domain of others it never becomes.
"""


def fuzz(data: bytes) -> None:
    """Nothing is believed that was not made with the key, and what is made leads back."""
    address = data.decode("utf-8", "surrogateescape") + "@example.com"
    if _SRS.concerns(address):
        try:
            back = _SRS.reverse(address, _NOW)
        except SrsError:
            pass
        else:
            local, _, domain = back.lower().rpartition("@")
            assert domain + local in _MADE, "forged"
    forwarded = _SRS.forward(address, _NOW)
    if forwarded is not None:
        assert _SRS.concerns(forwarded)
        _SRS.reverse(forwarded, _NOW)
