"""The warning that a message is still waiting: RFC 3464 action `delayed`."""

from pillarbox.lib.message.dsn.kind import Kind

DELAY = Kind(
    name="delay",
    subject="Delayed Mail (still being retried)",
    action="delayed",
    opening=(
        "This is the mail system at host {host}.\n\n"
        "####################################################################\n"
        "# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #\n"
        "####################################################################\n\n"
        "Your message could not yet be delivered to the recipients below. It will be tried again until {until}."
    ),
    closing="If you need help, write to postmaster@{host} and send this report along.",
    returned="Delayed Message",
    log_name="sender delay notification",
)
