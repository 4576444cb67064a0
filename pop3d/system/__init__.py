"""Sessions of system users: a root parent of a few lines, and a child for each user."""
