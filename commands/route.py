"""`pillarbox route ADDRESS`: what the lookup service decides for an address."""

from __future__ import annotations

import os
import sys

from pillarbox.lib.clients.lookup import LookupClient, LookupUnavailable
from pillarbox.lib.config import Config


def route(config: Config, address: str) -> int:
    """Print each decision in order."""
    client = LookupClient(config)
    try:
        verdict = client.recipient(address)
        print(f"recipient  {verdict.status} ({verdict.address_class}) {verdict.text}".rstrip())
        for each in client.expand(address) or (address,):
            if each != address:
                print(f"alias      {address} -> {each}")
            decided = client.resolve(each)
            print(f"transport  {decided.recipient} -> {decided.transport}:{decided.nexthop}")
    except LookupUnavailable as error:
        print(f"pillarbox route: {error.reason}", file=sys.stderr)
        return os.EX_TEMPFAIL
    finally:
        client.close()
    return os.EX_OK
