"""The orders in which an address is looked up: virtual(5), canonical(5), transport(5) and their like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pillarbox.lib.address.address import quote_local, split_address, unquote_local
from pillarbox.lib.address.extension import split_extension
from pillarbox.lib.tables.maps import Maps


@dataclass(frozen=True, slots=True)
class Found:
    """A value, and the address extension that the key did not have ("" = none; else with its delimiter)."""

    value: str
    extension: str = ""


def find_address(
    maps: Maps, address: str, delimiters: str, is_own: Callable[[str], bool], *, domains: bool = True
) -> Found | None:
    """Look up user+extension@domain, user@domain, for own domains user+extension and user, then @domain.

    `address` is complete.  Tables of patterns see the whole address only.  Raises LookupFailed.
    """
    value = maps.find(address)
    if value is not None:
        return Found(value)
    local, domain = split_address(address)
    user, extension = split_local(local, delimiters)
    for key, rest in _parts(local, domain, user, extension, is_own, domains):
        value = maps.find(key, partial=True)
        if value is not None:
            return Found(value, rest)
    return None


def _parts(
    local: str, domain: str, user: str, extension: str, is_own: Callable[[str], bool], domains: bool
) -> Iterator[tuple[str, str]]:
    plain = unquote_local(local)
    if plain != local:
        yield f"{plain}@{domain}", ""
    if extension:
        yield f"{user}@{domain}", extension
    if is_own(domain):
        yield plain, ""
        if extension:
            yield unquote_local(user), extension
    if domains:
        yield f"@{domain}", ""  # nobody's name was found that the extension could belong to


def split_local(local: str, delimiters: str) -> tuple[str, str]:
    """A written local part as (written user, extension with its delimiter); ("x", "") where there is none."""
    if not delimiters:
        return local, ""
    plain = unquote_local(local)
    user, extension = split_extension(plain, delimiters)
    if extension is None:
        return local, ""
    return quote_local(user), plain[len(user) :]


def transport_keys(address: str, delimiters: str, *, parents_with_dot: bool = True) -> Iterator[tuple[str, bool]]:
    """The keys of transport(5) with whether each is a part: the address, without extension, the domain, its parents,
    and `*`."""
    yield address, False
    local, domain = split_address(address)
    user, extension = split_local(local, delimiters)
    if extension:
        yield f"{user}@{domain}", True
    for key in domain_keys(domain, parents_with_dot=parents_with_dot):
        yield key, True
    yield "*", True


def domain_keys(domain: str, *, parents_with_dot: bool = True) -> Iterator[str]:
    """A domain and its parents, `.example.com` or `example.com`; an address literal has no parents."""
    if not domain:
        return
    yield domain
    if domain.startswith("["):
        return
    rest = domain
    while True:
        _, dot, rest = rest.partition(".")
        if not dot or not rest:
            return
        yield f".{rest}" if parents_with_dot else rest


def with_extension(address: str, extension: str) -> str:
    """`address` with an extension (its delimiter included) behind the user."""
    if not extension:
        return address
    local, domain = split_address(address)
    written = quote_local(unquote_local(local) + extension)
    return f"{written}@{domain}" if domain else written
