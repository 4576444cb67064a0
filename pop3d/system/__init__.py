"""Sessions of system users: a root parent of a few lines, and a child per session that is the user."""
