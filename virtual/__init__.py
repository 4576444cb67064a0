"""The delivery agent for hosted mailboxes, which belong to no system user."""
