"""Text search in the messages of a mailbox: what counts as its text, and an index of the words beside the mailbox.

`fold` says how texts are compared, `parts` which texts a message has; `words` and `segment` are the index without
files, `file` keeps it, `keeper` brings it up to date in the background.  The index only says which messages to look at:
the answer always comes from the messages.
"""
