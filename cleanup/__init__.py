"""cleanup: the only writer of new mail.

Whoever has a message for the queue (smtpd, pickup, bounce, local) streams it here.  cleanup completes the header,
expands virtual aliases, checks the limits, writes the queue file, syncs it, and only then says that the message is
accepted.  All messages that become complete in one round are synced together.

It opens no network connection, and reads no mail but the one it is writing.
"""
