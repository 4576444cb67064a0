"""Scenarios of SMTP, submission and LMTP sessions: one plain-text script each, played against a running instance.

`script` says how a script is written, `player` plays it, `site` is the instance.  Every script is played twice: as it
stands, and with each octet of the client sent on its own.  After it the session must still be good for a message, which
must arrive whole and alone: whatever went wrong before has left nothing behind.
"""
