"""mta_sts: finds out and remembers what domains publish about TLS with their mail servers (RFC 8461), for smtp_client.

A room of its own so that what strangers' DNS and web servers send is parsed where nothing is to be won: it runs as the
net user, confined to the DNS, one TCP port and its own directory, and only the net user's programs may ask it.

Promises: who asks has an answer within the time that it allows; a policy that was fetched counts until its max_age is
over, whatever can be reached meanwhile, and across restarts; it is renewed before that; one fetch per domain at a time,
a bounded number at once.  A domain whose servers hang holds up nothing but its own first question.

`program` is the process; `service` decides what counts and when to look again; `source` asks DNS and web server;
`cache` remembers.
"""
