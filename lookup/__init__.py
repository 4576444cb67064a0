"""The lookup program: answers what tables say about addresses, to programs that may not read the tables themselves.

`program` is the process; `service` reads requests; `routing`, `recipients` and `expansion` decide; `classes`, `domains`
and `own_addresses` know which domains are ours; `tableset` holds the open tables of the configuration.
"""
