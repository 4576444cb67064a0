"""The delivery agent for system users.

The parent (root, or the caller of an unprivileged instance) only decides who does a step and passes it on: `parent`,
`children`.  A child is one of two things: the *expander* (user `default_privs`, confined) reads aliases and sends mail
on; a *deliverer* (the recipient's uid) reads that user's `.forward` and writes mailboxes, files, commands.
"""
