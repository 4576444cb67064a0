"""Hosted mailboxes from the outside: which belongs to an address, where it lies, what it may hold.

For the programs that run as the mailboxes' owner.
"""
