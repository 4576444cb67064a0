"""POP3 without I/O: lines in, replies and actions out.

`lines` cuts the stream into command lines; `authorization` and `transaction` are the two state machines; `replies` is
every reply there is; `transparency` makes multi-line bodies.
"""
