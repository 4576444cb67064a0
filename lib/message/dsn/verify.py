"""The report that `sendmail -bv` and `sendmail -v` ask for: what would become, or became, of each recipient."""

from pillarbox.lib.message.dsn.kind import Kind
from pillarbox.lib.message.dsn.template import Template

VERIFY = Kind(
    name="verify",
    template="verify",
    built_in=Template(
        subject="Mail Delivery Status Report",
        postmaster_subject="Postmaster Copy: Mail Delivery Status Report",
        body="""\
This is the mail system at host $myhostname.

Enclosed is the mail delivery report that you requested.
""",
        built_in=True,
    ),
    action="deliverable",
    closing="",
    returned="Message",
    log_name="sender delivery status notification",
    explain=False,
)
