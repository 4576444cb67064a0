"""Mail in a database: SQLite (a file for each account) or PostgreSQL (many accounts, several front ends).

`database` is what is needed of a database, `sqlite` and `postgres` are the two; everything else is the same over both.
docs/database-stores.md is the reader's page.
"""
