"""INPROGRESS (RFC 9585): untagged OKs while a command is long under way; see `Session.progress`."""

from __future__ import annotations

CAPABILITIES = ("INPROGRESS",)
