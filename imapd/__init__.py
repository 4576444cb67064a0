"""IMAP (RFC 3501, RFC 9051): mailboxes for people's mail programs.

`protocol/` is the wire, without I/O: commands from bytes, responses to bytes.
`login/` is the program `imap-login`: it speaks to clients that have not logged in, as the net user, with no store in
reach.  `session/` is the program `imap`, run as the owner of the mailboxes; `system/` starts the same session for
system users.  What a session can do lies in tables of small files: `commands/`, the items of FETCH in `fetch/`, the
keys of SEARCH in `search/`.
"""
