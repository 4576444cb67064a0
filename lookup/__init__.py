"""The lookup program: answers what tables say about addresses, to programs that may not read the tables themselves.

`program` is the process; `service` reads requests; `routing`, `recipients`, `expansion` and `access` decide; `classes`
and `domains` know which domains are ours; `tableset` holds the open tables of the configuration.
"""
