"""bounce: why recipients were deferred or have failed, and what senders are told about it.

It keeps one log per message and kind (`spool/defer/ID`, `spool/bounce/ID`), on disk before it answers; at the end of
a pass it writes the delivery status notifications (RFC 3464) and hands them to cleanup like any other new mail.

A report goes to the sender of the envelope, from the null sender; a message from the null sender is never reported on,
so reports cannot chase each other.  A log is removed only after the report is safely in the queue: a crash in between
repeats a report and loses none.
"""
