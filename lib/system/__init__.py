"""What the kernel offers and the standard library does not: confinement, privilege drop, batched syncs, sd_notify.

Everything here is Linux system calls by ctypes and knows nothing about mail.
"""
