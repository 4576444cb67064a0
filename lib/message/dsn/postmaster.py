"""Copies for the postmaster (notify_classes): of undeliverable bounces, of bounces, of delay warnings."""

from dataclasses import replace

from pillarbox.lib.message.dsn.delay import DELAY
from pillarbox.lib.message.dsn.failure import FAILURE
from pillarbox.lib.message.dsn.kind import Kind

_TOP = "This is the mail system at host $myhostname.\n\n"


def _copy(kind: Kind, name: str, text: str, closing: str, log_name: str, *, with_body: bool) -> Kind:
    return replace(
        kind,
        name=name,
        built_in=replace(kind.built_in, body=_TOP + text),
        closing=closing,
        log_name=log_name,
        with_body=with_body,
        for_postmaster=True,
    )


POSTMASTER = _copy(
    FAILURE,
    "postmaster",
    """\
A message that nobody can be told about (its sender address is empty, so
it was itself a report) could not be delivered to the recipients below.
It is returned to you as the postmaster.
""",
    "Remove 2bounce from notify_classes in main.yaml to get no such copies.",
    "postmaster non-delivery notification",
    with_body=True,
)

BOUNCE_COPY = _copy(
    FAILURE,
    "bounce copy",
    """\
The message whose header is below could not be delivered to these
recipients. Its sender has been told; this is a copy for the postmaster.
""",
    "Remove bounce from notify_classes in main.yaml to get no such copies.",
    "postmaster non-delivery notification",
    with_body=False,
)

DELAY_COPY = _copy(
    DELAY,
    "delay copy",
    """\
The message whose header is below waits for these recipients, and will be
tried until $retry_until.
Its sender has been told; this is a copy for the postmaster.
""",
    "Remove delay from notify_classes in main.yaml to get no such copies.",
    "postmaster delay notification",
    with_body=False,
)
