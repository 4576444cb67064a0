"""What lies beside a mailbox so that it need not be looked at again; all of it may be deleted at any time."""
