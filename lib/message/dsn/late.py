"""The report that a message was not delivered by the time that its sender had named, and is still tried (RFC 2852)."""

from pillarbox.lib.message.dsn.kind import Kind

LATE = Kind(
    name="late",
    subject="Mail Not Delivered in Time (still being retried)",
    action="delayed",
    opening=(
        "This is the mail system at host {host}.\n\n"
        "####################################################################\n"
        "# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #\n"
        "####################################################################\n\n"
        "You asked to be told when your message is not delivered in time. That time has passed for the recipients "
        "below. Delivery will be tried again until {until}."
    ),
    closing="If you need help, write to postmaster@{host} and send this report along.",
    returned="Delayed Message",
    log_name="sender delivery deadline notification",
)
