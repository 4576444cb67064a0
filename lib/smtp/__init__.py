"""SMTP, ESMTP and LMTP without sockets: replies, grammar, content decoders, the state machines of both sides.

`server.ServerSession` is the server side: bytes in, events and bytes out.  `client` is the other.
Nothing here reads a clock, opens a file or knows a policy.
"""
