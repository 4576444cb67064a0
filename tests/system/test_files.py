"""Safe opening, syncing and replacing of files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pillarbox.lib.system import files
from pillarbox.lib.system.files import UnsafeFile, open_regular, sync_batch, sync_directory, write_file


class TestOpenRegular:
    def test_a_plain_file_opens(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"text")
        descriptor = open_regular(tmp_path / "a")
        try:
            assert os.read(descriptor, 10) == b"text"
            assert not os.get_inheritable(descriptor)
        finally:
            os.close(descriptor)

    def test_a_name_relative_to_a_directory_descriptor(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"text")
        directory = os.open(tmp_path, os.O_RDONLY)
        try:
            os.close(open_regular("a", directory))
        finally:
            os.close(directory)

    def test_a_symbolic_link_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"")
        (tmp_path / "link").symlink_to("a")
        with pytest.raises(UnsafeFile, match="symbolic link"):
            open_regular(tmp_path / "link")

    def test_a_second_name_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"")
        os.link(tmp_path / "a", tmp_path / "b")
        with pytest.raises(UnsafeFile, match="2 names"):
            open_regular(tmp_path / "a")

    def test_a_fifo_is_refused_at_once(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UnsafeFile, match="not a regular file"):
            open_regular(tmp_path / "pipe")
        with pytest.raises(UnsafeFile, match="not a regular file"):
            open_regular(tmp_path / "pipe", flags=os.O_WRONLY)

    def test_a_directory_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UnsafeFile, match="not a regular file"):
            open_regular(tmp_path)

    def test_a_file_that_was_swapped_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("a", "b"):
            (tmp_path / name).write_bytes(b"")
        real = os.stat
        monkeypatch.setattr(os, "stat", lambda name, **rest: real(tmp_path / "b"))
        with pytest.raises(UnsafeFile, match="replaced"):
            open_regular(tmp_path / "a")

    def test_a_missing_file_is_the_usual_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            open_regular(tmp_path / "none")

    def test_refusals_leave_no_descriptor_open(self, tmp_path: Path) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            with pytest.raises(UnsafeFile):
                open_regular(tmp_path)
        assert len(os.listdir("/proc/self/fd")) <= before


class TestSync:
    def test_a_batch_syncs_every_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        started: list[int] = []
        synced: list[int] = []
        monkeypatch.setattr(files, "start_writeback", started.append)
        monkeypatch.setattr(os, "fsync", synced.append)
        sync_batch([5, 6, 7])
        assert (started, synced) == ([5, 6, 7], [5, 6, 7])

    def test_one_file_needs_no_hint(self, monkeypatch: pytest.MonkeyPatch) -> None:
        started: list[int] = []
        monkeypatch.setattr(files, "start_writeback", started.append)
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)
        sync_batch(iter([5]))
        assert started == []

    def test_a_file_system_without_the_hint_is_fine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unsupported(descriptor: int) -> None:
            raise OSError(errno.ESPIPE, "no")

        synced: list[int] = []
        monkeypatch.setattr(files, "start_writeback", unsupported)
        monkeypatch.setattr(os, "fsync", synced.append)
        sync_batch([1, 2])
        assert synced == [1, 2]

    def test_a_full_disk_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(files, "start_writeback", full)
        with pytest.raises(OSError, match="full"):
            sync_batch([1, 2])

    def test_real_files_and_a_directory(self, tmp_path: Path) -> None:
        opened = [os.open(tmp_path / str(i), os.O_WRONLY | os.O_CREAT) for i in range(3)]
        try:
            for descriptor in opened:
                os.write(descriptor, b"x")
            sync_batch(opened)
            sync_directory(tmp_path)
            directory = os.open(tmp_path, os.O_RDONLY)
            sync_directory(directory)
            os.close(directory)
        finally:
            for descriptor in opened:
                os.close(descriptor)


class TestWriteFile:
    def test_content_and_mode(self, tmp_path: Path) -> None:
        write_file(tmp_path / "a", b"one", 0o600)
        write_file(tmp_path / "a", b"two", 0o664)
        assert (tmp_path / "a").read_bytes() == b"two"
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o664
        assert os.listdir(tmp_path) == ["a"]

    def test_a_failure_keeps_the_old_file_and_leaves_no_litter(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_file(tmp_path / "a", b"old")

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="full"):
            write_file(tmp_path / "a", b"new")
        assert (tmp_path / "a").read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a"]
