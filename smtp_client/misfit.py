"""Why a message cannot go to a server, found before it was told of it."""

from __future__ import annotations


class Misfit(Exception):
    """The message can't go to this server.

    `elsewhere` says that another server of the destination may take it, so that this is no verdict yet.
    """

    def __init__(self, dsn: str, text: str, *, elsewhere: bool = False) -> None:
        super().__init__(text)
        self.dsn = dsn
        self.text = text
        self.elsewhere = elsewhere
