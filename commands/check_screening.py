"""What `pillarbox check` finds wrong with screening, greylisting and the limits of accounts."""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import smtpd_screening as parameters


def look_at_screening(config: Config) -> Iterator[str]:
    """One finding for each mistake."""
    wanted: dict[str, None] = {}
    for service in config.services.values():
        if service.command != "smtpd":
            continue
        view = config.for_service(service)
        delay, window = view[parameters.SMTPD_GREYLIST_DELAY], view[parameters.SMTPD_GREYLIST_WINDOW]
        if window <= delay:
            yield (
                f"{service.name}: smtpd_greylist_window must be longer than smtpd_greylist_delay: "
                "else nobody comes back in time"
            )
        screened = view[parameters.SMTPD_SCREENING]
        for name, use in (
            (parameters.SMTPD_GREYLISTING.name, screened and view[parameters.SMTPD_GREYLISTING]),
            (parameters.SMTPD_GREET_WAIT.name, screened and view[parameters.SMTPD_GREET_WAIT]),
            (parameters.SMTPD_DNSBL_SITES.name, screened and view[parameters.SMTPD_DNSBL_SITES]),
        ):
            if use:
                wanted[name] = None
    if wanted and not any(service.command == "reputation" for service in config.services.values()):
        yield f"{next(iter(wanted))} is set, but master.yaml has no service reputation, which remembers who has passed"
