"""The copy for the postmaster of a bounce that could itself not be delivered (notify_classes: 2bounce)."""

from pillarbox.lib.message.dsn.kind import Kind

POSTMASTER = Kind(
    name="postmaster",
    subject="Postmaster Copy: Undelivered Mail",
    action="failed",
    opening=(
        "This is the mail system at host {host}.\n\n"
        "A message that nobody can be told about (its sender address is empty, so it was itself a report) could not be "
        "delivered to the recipients below. It is returned to you as the postmaster."
    ),
    closing="Remove 2bounce from notify_classes in main.yaml to get no such copies.",
    returned="Undelivered Message",
    log_name="postmaster non-delivery notification",
    with_body=True,
)
