"""Measuring this suite against a private Postfix: the same work, the same durability, the same disk, in turn."""
