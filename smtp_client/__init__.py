"""The SMTP and LMTP client: takes deliveries, brings each to the next hop, says what became of it.

program       the declaration: rights, preparation, the agent loop
settings      the parameters in the shape that deliveries use
delivery      one request: destinations and servers in turn until each recipient has a result
visits        the servers that it has been at
ledger        its recipients and their verdicts
terms         what it asks of a connection: TLS, local addresses, name
session       its messages over one connection
destination   a next hop as written: [host]:port, domain, address literal, unix:path
route         the servers of a destination: MX, addresses, order, ourselves among them
ourselves     which addresses and ports are this mail system's own
connector     from the servers that are equally good to a conversation that is ready for mail
login         as whom, and how, it is logged in there
racing        the first of several addresses to answer (RFC 8305)
dialling      a socket, from the right local address
connection    octets and time for one conversation (the conversation itself is lib.smtp.client)
envelope      a request as commands for one server
cache         conversations kept open for the next delivery
tables        passwords and TLS policies, by way of the lookup service
results       replies and failures in Postfix's words
"""
