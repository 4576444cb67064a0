"""managesieved: people's Sieve scripts, put and chosen from their mail programs by ManageSieve (RFC 5804).

`login/` speaks to clients that nobody has vouched for: TLS, SASL; it reaches no script.
`session/` gets the connection after a login, with a one-time token, and runs as the owner of the scripts.
`system/` starts sessions of system users, as the user.
`protocol/` is the grammar, the replies and the session's state machine, without I/O.

The scripts themselves are `lib.sieve_box.storage`: they lie where delivery looks for them.
"""
