"""The login part of ManageSieve: greets, offers TLS, checks credentials through auth, and hands the connection on."""
