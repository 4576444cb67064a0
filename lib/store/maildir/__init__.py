"""Maildir and Maildir++: file names, UID list, folders, mailbox access and delivery."""
