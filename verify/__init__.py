"""verify: finds out whether mail can be delivered to an address, and remembers it (verify(8) of Postfix).

An address of ours is looked up in its tables.  For one elsewhere a probe goes to its mail server by a service of the
program smtp_client: MAIL and RCPT as for a message, and no further.  What was found is kept in a cache, which may be
deleted at any time.

`program` is the process; `service` decides when to probe; `probes` asks; `cache` remembers.
"""
