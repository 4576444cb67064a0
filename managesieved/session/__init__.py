"""The session part of ManageSieve: one logged-in client over one user's scripts, as their owner."""
