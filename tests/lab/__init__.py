"""The laboratory: everything that an end-to-end test needs around a running mail system.

A private DNS server, misbehaving SMTP servers, certificates, free ports, and `Instance`, which runs the suite
itself through its public command only.
"""
