"""milter: speaks to the mail filters that the administrator has configured, for smtpd and pickup.

A milter is a program of somebody else, often on another machine.  What it sends is parsed here, where there is nothing
to win: no file, no mail but the one that is looked at, no network but the milters' own ports.  smtpd says what the
client says and gets a decision; at the end of a message it hands over a descriptor of the content, read-only, and gets
all edits of all milters as one value, with the new header and body as sealed memory files.

Milters are asked in turn; a later one sees the edits of an earlier one.  One that is gone, silent or talks nonsense
leaves no edit behind, and its default action holds.
"""
