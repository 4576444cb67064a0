"""The session part of POP3: one logged-in client over one maildrop, as the mailbox's owner."""
