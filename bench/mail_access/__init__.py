"""Mail access beside Debian's Dovecot: the same mail, the same seeded load, in turn.  See `__main__`."""
