"""What lies beside a mailbox so that it need not be looked at again; all of it may be deleted at any time.

`cache` has what was worked out of messages.  The rest is the index: what sessions need of all messages at once, in
columns, and what changed since.

One file, `pillarbox-index` (docs/index.md): `layout` has its bytes, `base` the columns, which never change,
`table` the columns with the changes of the log behind them, `columns` a session's snapshot over a table, `file` the
file with its lock, `live` follows it.  The mailbox is the truth: the index can be thrown away at any moment, and is
made anew without changing a UID.
"""
