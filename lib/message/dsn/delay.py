"""The warning that a message is still waiting: RFC 3464 action `delayed`."""

from pillarbox.lib.message.dsn.kind import Kind
from pillarbox.lib.message.dsn.template import Template

WARNING = """\
####################################################################
# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #
####################################################################
"""

DELAY = Kind(
    name="delay",
    template="delay",
    built_in=Template(
        subject="Delayed Mail (still being retried)",
        postmaster_subject="Postmaster Warning: Delayed Mail",
        body=f"""\
This is the mail system at host $myhostname.

{WARNING}
Your message could not yet be delivered to the recipients below.
You need not do anything: it will be tried again by itself until
$retry_until.
If it cannot be delivered by then, you will be told.
""",
        built_in=True,
    ),
    action="delayed",
    closing="If you need help, write to postmaster@{host} and send this report along.",
    returned="Undelivered Message",
    log_name="sender delay notification",
    cure=False,
)
