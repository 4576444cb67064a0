"""The program `imap-login`: IMAP with clients that nobody knows yet."""
