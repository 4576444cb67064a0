"""The SMTP client's parameters under a second name, for LMTP: each `smtp_X` may have another value as `lmtp_X`.

    smtp_connect_timeout: 30s
    lmtp_connect_timeout: 5s        # for services that speak LMTP

They are not declared one by one; whoever sets none sees none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pillarbox.lib.config.parameter import REGISTER, Parameter, Raw

SMTP, LMTP = "smtp_", "lmtp_"


def mirrored(name: str) -> Parameter[object] | None:
    """The parameter `lmtp_X` of that name where there is an `smtp_X`; None for every other name."""
    if not name.startswith(LMTP):
        return None
    original = REGISTER.get(SMTP + name.removeprefix(LMTP))
    if original is None:
        return None
    return Parameter(
        name, f"${original.name}", f"The same as {original.name}, with LMTP.", original.kind, original.parse
    )


def mirrors(names: Iterable[str]) -> dict[str, Parameter[object]]:
    """The parameters `lmtp_X` for those of the names that are `smtp_X`."""
    found = [mirrored(LMTP + name.removeprefix(SMTP)) for name in names if name.startswith(SMTP)]
    return {each.name: each for each in found if each is not None and each.name not in REGISTER}


def lmtp_values(values: Mapping[str, Raw]) -> dict[str, Raw]:
    """The values for a service that speaks LMTP: what is set for LMTP stands in the place of what is for SMTP."""
    own = {SMTP + name.removeprefix(LMTP): value for name, value in values.items() if mirrored(name) is not None}
    return {**values, **own}
