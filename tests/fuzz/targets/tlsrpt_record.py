"""A domain's wish for reports on TLS: TXT records, one a line."""

from __future__ import annotations

from pillarbox.lib.http import HttpPlace
from pillarbox.tlsrpt.wish import PLACES_LIMIT, mail_address, wished_places


def fuzz(data: bytes) -> None:
    """Some places, each an address without line ends or an HTTPS URL; never a fault."""
    places = wished_places(data.split(b"\n"))
    assert len(places) <= PLACES_LIMIT
    for place in places:
        address = mail_address(place)
        if address:
            assert "@" in address and address.isprintable()
        else:
            assert HttpPlace.of(place, None).host
