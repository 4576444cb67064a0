"""The wire of IMAP without I/O.

`reader` cuts bytes into commands and literals, `cursor` reads the grammar of a command, `response` writes what the
server says.
"""
