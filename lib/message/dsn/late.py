"""The report that a message was not delivered by the time that its sender had named, and is still tried (RFC 2852)."""

from pillarbox.lib.message.dsn.delay import WARNING
from pillarbox.lib.message.dsn.kind import Kind
from pillarbox.lib.message.dsn.template import Template

LATE = Kind(
    name="late",
    template="late",
    built_in=Template(
        subject="Mail Not Delivered in Time (still being retried)",
        postmaster_subject="Postmaster Warning: Delayed Mail",
        body=f"""\
This is the mail system at host $myhostname.

{WARNING}
You asked to be told when your message is not delivered in time. That
time has passed for the recipients below. You need not do anything: it
will be tried again by itself until $retry_until.
""",
        built_in=True,
    ),
    action="delayed",
    closing="If you need help, write to postmaster@{host} and send this report along.",
    returned="Undelivered Message",
    log_name="sender delivery deadline notification",
    cure=False,
)
