"""cleanup for what the filters of hosted mailboxes send: the same program behind a socket of its own, which the owner
of the mailboxes may use, and nobody else."""
