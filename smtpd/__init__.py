"""smtpd: speaks SMTP (port 25, submission) and LMTP with clients and hands messages to cleanup.

It reads no queue, no mailbox and no key once it runs; it asks lookup, auth and anvil, and the DNS.
"""
