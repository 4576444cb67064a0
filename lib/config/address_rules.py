"""The parameters that say how addresses are written, as one value."""

from __future__ import annotations

from pillarbox.lib.address.rewriting import AddressRules
from pillarbox.lib.config.parameters import rewriting
from pillarbox.lib.config.parameters.general import MYDOMAIN, MYORIGIN
from pillarbox.lib.config.values import Config


def address_rules(config: Config, *, remote_domain: str = "") -> AddressRules:
    """The rules for addresses of our own: in envelopes, and in headers of mail from here.

    With `remote_domain` (remote_header_rewrite_domain) those for headers of mail from elsewhere.
    """
    return AddressRules(
        origin=remote_domain or config[MYORIGIN],
        domain=remote_domain or config[MYDOMAIN],
        append_at_myorigin=config[rewriting.APPEND_AT_MYORIGIN],
        append_dot_mydomain=config[rewriting.APPEND_DOT_MYDOMAIN],
        swap_bangpath=config[rewriting.SWAP_BANGPATH],
        percent_hack=config[rewriting.ALLOW_PERCENT_HACK],
        resolve_dequoted=config[rewriting.RESOLVE_DEQUOTED_ADDRESS],
    )
