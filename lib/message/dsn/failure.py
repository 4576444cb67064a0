"""The report that a message could not be delivered: RFC 3464 action `failed`."""

from pillarbox.lib.message.dsn.kind import Kind
from pillarbox.lib.message.dsn.template import Template

FAILURE = Kind(
    name="failure",
    template="failure",
    built_in=Template(
        subject="Undelivered Mail Returned to Sender",
        postmaster_subject="Postmaster Copy: Undelivered Mail",
        body="""\
This is the mail system at host $myhostname.

Your message could not be delivered to the recipients below. It will
not be tried again.
""",
        built_in=True,
    ),
    action="failed",
    closing=(
        "If you need help, write to postmaster@{host} and send this report along. "
        "Your message is attached, as far as its size allows."
    ),
    returned="Undelivered Message",
    log_name="sender non-delivery notification",
    with_body=True,
)
