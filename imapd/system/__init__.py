"""The program `imap-system`: starts sessions of system users, each in a child of that user."""
