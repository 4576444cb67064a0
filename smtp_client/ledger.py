"""What is known about each recipient of one delivery, until each has its result.

A 5xx is a verdict at once; what is temporary is kept in case no other server has a better word, and the last one
counts.  A recipient that waits only because no server protects the message as its sender wants gets the message back
when no server is left (RFC 8689 section 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pillarbox.lib.delivery import BOUNCED, DEFERRED, DeliveryRecipient, DeliveryRequest, Result, log_result
from pillarbox.lib.smtp.client_reply import ServerReply
from pillarbox.smtp_client import results
from pillarbox.smtp_client.results import local_failure
from pillarbox.smtp_client.route import Server


class Ledger:
    """The recipients of one request."""

    def __init__(self, request: DeliveryRequest) -> None:
        self.waiting: list[DeliveryRecipient] = list(request.recipients)
        """Those without a final verdict, in order."""
        self.left: list[DeliveryRecipient] = []
        """Of those, the ones that the server at hand has not been told, because of its limits."""
        self.results: list[Result] = []
        self.hope = False
        """Whether there is, or will be, a server that has not been asked."""
        self.connected = 0.0
        self.note = ""
        self.tls = ""
        """These for the log line: when the connection stood, how it was protected, what else is to be said of it."""
        self._request = request
        self._provisional: dict[int, Result] = {}
        self._unsafe: dict[int, str] = {}
        """Recipients that wait only for want of protection, and the code with which the message goes back."""

    @property
    def turn(self) -> Sequence[DeliveryRecipient]:
        """Those whom the next message to a server is for."""
        return self.left or self.waiting

    @property
    def reason(self) -> str:
        """Why the first of those that wait does; "" where no server has been asked."""
        found = self._provisional.get(self.waiting[0].n)
        return "" if found is None else found.text

    def settle(self, verdicts: Iterable[tuple[DeliveryRecipient, Result]]) -> None:
        """Take verdicts: final ones end a recipient, temporary ones are kept in case there is no better."""
        ended = []
        for recipient, result in verdicts:
            if result.status == DEFERRED:
                self._provisional[recipient.n] = result
                self._unsafe.pop(recipient.n, None)
            else:
                self._final(recipient, result)
                ended.append(recipient.n)
        if len(ended) == len(self.waiting):
            self.waiting = []
        elif ended:
            gone = set(ended)
            self.waiting = [recipient for recipient in self.waiting if recipient.n not in gone]

    def fail(self, dsn: str, text: str, server: Server | None = None, reply: ServerReply | None = None) -> None:
        """The same verdict for those whose turn it is."""
        turn, self.left = self.turn, []
        if server is not None and reply is not None:
            self.settle([(r, results.from_reply(r.n, server, reply, dsn, text)) for r in turn])
        else:
            self.settle([(r, local_failure(r.n, dsn, text, server)) for r in turn])

    def defer(self, dsn: str, text: str) -> None:
        """The same, for now only, whatever the class of the code."""
        self.fail(f"4{dsn[1:]}", text)

    def refuse_unsafe(self, dsn: str, text: str, server: Server) -> None:
        """This server does not protect the message as its sender wants; if none does it goes back with `dsn`."""
        turn = self.turn
        self.fail(f"4{dsn[1:]}", text, server)
        self._unsafe.update((recipient.n, dsn) for recipient in turn)

    def conclude(self) -> list[Result]:
        """No server is left: the last word of each that still waits counts.  All results."""
        for recipient in self.waiting:
            result = self._provisional[recipient.n]
            if result.n in self._unsafe and not self.hope:
                result = replace(result, status=BOUNCED, dsn=self._unsafe[result.n])
            self._final(recipient, result)
        self.waiting = []
        return self.results

    def _final(self, recipient: DeliveryRecipient, result: Result) -> None:
        self.results.append(result)
        log_result(self._request, recipient, result, connected=self.connected, note=self.note, tls=self.tls)
