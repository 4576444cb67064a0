"""Says whether there is room for a message in a hosted mailbox, so that smtpd refuses it at RCPT.

smtpd may not reach a mailbox; this program runs as the mailboxes' owner, and answers that one question.
"""
