"""Foreign mail programs for the tests: Debian's packages, unpacked side by side, never installed.

from tests.peers import peer
peer("swaks").run(["swaks", "--server", "127.0.0.1:2525", ...], check=True)
"""

from __future__ import annotations

from tests.peers.install import PeerUnavailable, install, peer
from tests.peers.peer import Peer

__all__ = ["Peer", "PeerUnavailable", "install", "peer"]
