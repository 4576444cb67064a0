"""Sessions of system users: a root parent of a few lines, and children that are the users."""
