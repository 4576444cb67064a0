"""Run by the system's Python with the peer's modules: OpenStack Swift's four servers in one process.

    python3 swift_servers.py DIRECTORY ADDRESS PROXY ACCOUNT CONTAINER OBJECT

After SIGUSR1 the object server's disk is full, after SIGUSR2 no longer.

What they are made of is Swift's own; only the start is not, which wants a directory in /etc, a process for each server
and a syslog.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from array import array

import eventlet
from eventlet import wsgi
from swift.common import utils
from swift.common.http_protocol import SwiftHttpProtocol
from swift.common.ring import RingData
from swift.common.storage_policy import reload_storage_policies
from swift.common.wsgi import loadapp

KINDS = ("proxy", "account", "container", "object")


class _Console(logging.StreamHandler):
    LOG_LOCAL0 = 0

    def __init__(self, *_, **__):
        super().__init__(sys.stderr)


class _NoCache:
    """Stands in for memcached, without which tempauth refuses to work, with one that has forgotten everything."""

    def get(self, *_, **__):
        return None

    set = delete = incr = decr = get


def reserve(room):
    """How much of the disk the object server keeps free."""
    utils.FALLOCATE_RESERVE, utils.FALLOCATE_IS_PERCENT = utils.config_fallocate_value(room)


def main(directory, address, *numbers):
    """Serve until killed."""
    ports = dict(zip(KINDS, map(int, numbers), strict=True))
    utils.eventlet_monkey_patch()
    sys.modules[utils.get_logger.__module__].ThreadSafeSysLogHandler = _Console
    utils.set_swift_dir(directory)
    reload_storage_policies()
    os.chdir(directory)  # a ring is written beside itself
    for kind in KINDS[1:]:
        device = {"id": 0, "zone": 0, "region": 1, "device": "disk", "ip": address, "port": ports[kind], "weight": 1.0}
        device |= {"replication_ip": address, "replication_port": ports[kind]}
        RingData([array("H", [0])], [device], 32).save(f"{kind}.ring.gz")
    reserve("0")
    signal.signal(signal.SIGUSR1, lambda *_: reserve("100%"))
    signal.signal(signal.SIGUSR2, lambda *_: reserve("0"))
    servers = []
    for kind in reversed(KINDS):
        app = loadapp(f"{directory}/{kind}.conf", global_conf={"log_name": kind})
        if kind == "proxy":
            app = _with_cache(app)
        socket = eventlet.listen((address, ports[kind]), reuse_port=False)
        options = {"protocol": SwiftHttpProtocol, "capitalize_response_headers": False, "socket_timeout": 60}
        servers.append(eventlet.spawn(wsgi.server, socket, app, utils.NullLogger(), **options))
    for server in servers:
        server.wait()


def _with_cache(app):
    def call(env, start_response):
        return app({**env, "swift.cache": _NoCache()}, start_response)

    return call


if __name__ == "__main__":
    main(*sys.argv[1:])
