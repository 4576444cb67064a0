"""The declarations, a module per group; a program imports the group it needs."""
