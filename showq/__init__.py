"""showq: tells unprivileged `mailq` what the queue holds.

Whoever may connect to its public socket may see senders, recipients and reasons, as with Postfix; nobody gets a file.
"""
