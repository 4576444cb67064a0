"""The login part of POP3: greets, offers TLS, checks passwords through auth, and hands the connection on."""
