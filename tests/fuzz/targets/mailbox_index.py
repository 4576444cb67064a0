"""The index beside a mailbox: whatever is in the file, its columns are right by their sums or it is Damaged."""

from __future__ import annotations

from pillarbox.lib.store.index import layout
from pillarbox.lib.store.index.base import in_memory
from pillarbox.lib.store.index.table import Table


def fuzz(data: bytes) -> None:
    """Read as a file with its log, and as a log alone."""
    frames, size = layout.parse_frames(data)
    assert size <= len(data)
    for frame in frames:
        layout.pack_frame(frame.records, frame.state)
    state = layout.last_state(data)
    assert state is None or len(data) >= layout.FRAME_REAR
    try:
        base = in_memory(data)
        table = Table(base)
        for name in layout.COLUMNS:
            base.column(name)
        table.replay(layout.parse_frames(data[base.end :])[0])
        uids = list(table.uids())
        assert len(uids) == len(table)
        for position, uid in enumerate(uids):
            if uids == sorted(set(uids)):
                assert table.position(uid) == position and table.row(uid) is not None
    except layout.Damaged:
        pass
