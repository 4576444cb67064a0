"""pickup: takes local submissions from maildrop/ to cleanup.

Anyone may drop a file there, so nothing in it is believed but what its owner may say anyhow; who that is, fstat says.
A file is removed only after its message is safe in the queue (or its sender has been told that it never will be):
a crash in between submits a message twice and loses none.
"""
