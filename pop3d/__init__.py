"""pop3d: mail access by POP3 (RFC 1939), in two programs with a trust boundary between them.

`login/` speaks to clients that nobody has vouched for: the AUTHORIZATION state, TLS, passwords; it reaches no mail.
`session/` gets the connection after a login, with a one-time token, and runs as the mailbox's owner: TRANSACTION and
UPDATE.
`protocol/` is the grammar and the state machines of both, without I/O.
"""
