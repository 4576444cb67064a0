"""The one skeleton of all programs: what a process does between the master's fork and its end.

A program is a `Program` value: its name, the user it runs as, its confinement, and two functions.  From the skeleton it
gets listening sockets, privilege drop, confinement, logging, session counting, watchdog, wake-ups and drain on stop.
It picks the runner that suits it: `serve_protocol`, `serve_connections` and `serve_channels` on an event loop;
`serve_requests` and `serve_rounds` for programs that do one thing at a time; `serve_agent` and `serve_async_agent` for
delivery agents.
"""

from pillarbox.lib.process.agents import serve_agent, serve_async_agent
from pillarbox.lib.process.events import serve_channels, serve_connections, serve_protocol
from pillarbox.lib.process.program import Program
from pillarbox.lib.process.rounds import RoundHandler, serve_requests, serve_rounds
from pillarbox.lib.process.worker import Worker

__all__ = [
    "Program",
    "RoundHandler",
    "Worker",
    "serve_agent",
    "serve_async_agent",
    "serve_channels",
    "serve_connections",
    "serve_protocol",
    "serve_requests",
    "serve_rounds",
]
