"""The report that a message arrived, for senders who asked (NOTIFY=SUCCESS): actions delivered, relayed, expanded."""

from pillarbox.lib.message.dsn.kind import Kind

SUCCESS = Kind(
    name="success",
    subject="Successful Mail Delivery Report",
    action="delivered",
    opening=(
        "This is the mail system at host {host}.\n\n"
        "Your message was delivered to the recipients below. Where it was handed on to a system that sends no reports, "
        "this is the last that you will hear unless something goes wrong there."
    ),
    closing="",
    returned="Message",
    log_name="sender delivery status notification",
    explain=False,
)
