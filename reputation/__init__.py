"""reputation: remembers what clients, senders and accounts have done, across restarts and for all processes.

It decides nothing: smtpd says which delays and limits hold and draws the consequences.  What it knows lies in one
SQLite database under state/reputation/, bounded, and may be deleted at any time; without it mail passes.
"""
