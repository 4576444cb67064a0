"""The report that a message could not be delivered: RFC 3464 action `failed`."""

from pillarbox.lib.message.dsn.kind import Kind

FAILURE = Kind(
    name="failure",
    subject="Undelivered Mail Returned to Sender",
    action="failed",
    opening=(
        "This is the mail system at host {host}.\n\n"
        "Your message could not be delivered to the recipients below. It will not be tried again. "
        "The others, if there were any, are not affected."
    ),
    closing=(
        "If you need help, write to postmaster@{host} and send this report along. "
        "Your message is attached, as far as its size allows."
    ),
    returned="Undelivered Message",
    log_name="sender non-delivery notification",
    with_body=True,
)
