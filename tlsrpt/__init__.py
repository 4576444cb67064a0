"""tlsrpt: counts how TLS with other domains' servers went, and tells the domains that ask for it once a day (RFC 8460).

smtp_client says how each negotiation ended.  Outcomes are counted per day (UTC), domain, policy and kind of failure.
At a random moment after midnight each domain of the day before is asked whether it wants reports, and where; the report
goes there by mail, through cleanup like any other, or by HTTPS.

Promises: no report is sent twice, whatever is killed when (a report may be lost to that); nothing grows without bound;
a domain that wants no reports costs one look-up a day.  Where the room is away outcomes are lost, and mail goes on.

`program` is the process; `service` takes outcomes in; `counts` and `ledger` are the files; `daily` decides what is due;
`wish` reads a domain's wish; `report` and `message` compose; `delivery` hands in.
"""
