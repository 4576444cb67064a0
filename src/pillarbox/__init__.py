"""Pillarbox: a complete mail system as a suite of small, unprivileged programs.

Every sub-package is one room of the house: a program (`smtpd`, `qmgr`, ...), the shared floor `lib`,
the commands, or the shipped configuration `etc`.  `docs/architecture.md` is the tour.
"""

__version__ = "0.1.0"
