"""auth: checks credentials and says who a user is.

The one program that may read password hashes, and it hands none out: smtpd and the login parts of imapd and pop3d send
it the client's SASL messages and get challenges, and at the end a name with a one-time token; the session parts redeem
the token for the account; lookup asks whether an address has one.

Promises: a password check holds up no other request; a wrong password and an unknown user look and take the same; what
cannot be checked now is a temporary failure.  One process, because exchanges and tokens live in its memory.
"""
