"""Fuzzing of every parser of what others send: `targets` has one module for each, `seeds` what it begins with.

    python -m tests.fuzz                                 the targets
    python -m tests.fuzz smtp_server --seconds 600       look for inputs that break one; they are written to crash-*

A target's `fuzz(data)` returns whatever the data, or there is a fault: an exception that the parser's docstring does
not name, or a promise that does not hold.  An input that was found goes to the seeds, where the tests replay it.
"""
