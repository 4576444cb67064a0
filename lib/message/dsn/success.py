"""The report that a message arrived, for senders who asked (NOTIFY=SUCCESS): actions delivered, relayed, expanded."""

from pillarbox.lib.message.dsn.kind import Kind
from pillarbox.lib.message.dsn.template import Template

SUCCESS = Kind(
    name="success",
    template="success",
    built_in=Template(
        subject="Successful Mail Delivery Report",
        postmaster_subject="Postmaster Copy: Successful Mail Delivery Report",
        body="""\
This is the mail system at host $myhostname.

You asked to be told what became of your message. All went well with
the recipients below.
""",
        built_in=True,
    ),
    action="delivered",
    closing="",
    returned="Message",
    log_name="sender delivery status notification",
    explain=False,
)
