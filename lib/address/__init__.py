"""Mail addresses: the value, the grammars of envelope and header, domains, extensions.

An address is a `str` in RFC 5321 form without angle brackets; a local part that needs quotes keeps them; the empty
string is the null reverse-path.  Nothing here knows tables, DNS or configuration.
"""

from pillarbox.lib.address.address import Address, AddressSyntaxError
from pillarbox.lib.address.domain import normalize_domain, same_domain
from pillarbox.lib.address.extension import split_extension
from pillarbox.lib.address.header import AddressList, HeaderMailbox, parse_address_list
from pillarbox.lib.address.path import find_path_end, parse_mailbox, parse_path

__all__ = [
    "Address",
    "AddressList",
    "AddressSyntaxError",
    "HeaderMailbox",
    "find_path_end",
    "normalize_domain",
    "parse_address_list",
    "parse_mailbox",
    "parse_path",
    "same_domain",
    "split_extension",
]
