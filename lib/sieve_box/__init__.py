"""A user's Sieve scripts at delivery: found, run, and turned into what a delivery agent has to do.

The language is `lib.sieve`; this is what it needs of the world: the files with the scripts, a memory from one message
to the next, the mail that scripts send.  Which rights it has is the agent's business: everything here happens as the
user to whom the mailbox belongs.
"""
