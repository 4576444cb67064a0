"""The program `imap`: sessions of clients that have logged in, over the store of their account."""
