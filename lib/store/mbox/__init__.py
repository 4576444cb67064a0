"""The mbox format: one file per mailbox, messages behind `From_` lines."""
