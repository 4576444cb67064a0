"""The delivery agent that hands messages to a command, as a user that is never root."""
