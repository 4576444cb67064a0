"""The codec: frames and chunks, however they arrive, and the answers to what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.ipc import Attributes, FrameReader, ProtocolError, encode_frame
from pillarbox.lib.ipc.frames import (
    ABORT_CONTENT,
    CHUNK_LIMIT,
    END_OF_CONTENT,
    FRAME_LIMIT,
    ContentAborted,
    decode_payload,
    encode_chunk,
)
from tests.feeding import splits, truncations

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
MEMBERS = st.dictionaries(st.text(max_size=10), VALUES, max_size=5)


def read_all(pieces: list[bytes]) -> list[Attributes]:
    reader, frames = FrameReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (frame := reader.frame()) is not None:
            frames.append(frame)
    return frames


class TestFrames:
    @given(MEMBERS)
    def test_what_was_sent_is_received(self, members: dict[str, object]) -> None:
        assert read_all([encode_frame(members)]) == [members]

    def test_the_pieces_in_which_they_arrive_do_not_matter(self) -> None:
        frames: list[dict[str, object]] = [{"do": "x"}, {}, {"text": "é\udcff\0\n" * 20}, {"n": [1, 2.5, None, True]}]
        data = b"".join(encode_frame(frame) for frame in frames)
        for pieces in splits(data):
            assert read_all(pieces) == frames

    def test_a_frame_that_is_cut_is_waited_for(self) -> None:
        for data in truncations(encode_frame({"a": 1})):
            reader = FrameReader()
            reader.feed(data)
            assert reader.frame() is None
            assert reader.pending == len(data)

    def test_bytes_that_are_no_utf_8_survive(self) -> None:
        text = b"\xff\xfe\x80".decode("utf-8", "surrogateescape")
        assert read_all([encode_frame({"a": text})])[0].text("a").encode("utf-8", "surrogateescape") == b"\xff\xfe\x80"

    def test_the_largest_frame_and_one_byte_more(self) -> None:
        fits = {"a": "x" * (FRAME_LIMIT - len('{"a":""}'))}
        assert read_all([encode_frame(fits)]) == [fits]
        with pytest.raises(ProtocolError, match="is larger than"):
            encode_frame({"a": fits["a"] + "x"})

    def test_an_oversized_frame_is_refused_before_it_has_arrived(self) -> None:
        reader = FrameReader()
        reader.feed((FRAME_LIMIT + 1).to_bytes(4, "big"))
        with pytest.raises(ProtocolError, match="is larger than"):
            reader.frame()

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"[]",
            b"1",
            b"null",
            b"{",
            b"{}x",
            b'{"a":}',
            b"\xff",
            b'{"a":"\n"}',
            b"[" * 100_000,
            b'{"a":' + b"9" * 5000 + b"}",
        ],
    )
    def test_what_is_no_frame(self, payload: bytes) -> None:
        reader = FrameReader()
        reader.feed(len(payload).to_bytes(4, "big") + payload)
        with pytest.raises(ProtocolError):
            reader.frame()

    @given(st.binary(max_size=100))
    def test_noise_is_nothing_or_a_protocol_error(self, data: bytes) -> None:
        reader = FrameReader()
        reader.feed(data)
        try:
            while reader.frame() is not None:
                pass
        except ProtocolError:
            pass


class TestChunks:
    def test_content_of_any_size(self) -> None:
        for size in (0, 1, CHUNK_LIMIT, CHUNK_LIMIT + 1, 3 * CHUNK_LIMIT + 7):
            content = bytes(size)
            reader = FrameReader()
            reader.feed(encode_chunk(content) + END_OF_CONTENT)
            found = b""
            while chunk := reader.chunk():
                found += chunk
            assert chunk == b"" and found == content
            assert reader.chunk() is None

    def test_the_pieces_in_which_it_arrives_do_not_matter(self) -> None:
        data = encode_chunk(b"hello ") + encode_chunk(b"world") + END_OF_CONTENT + encode_frame({"next": 1})
        for pieces in splits(data):
            reader, found, ended = FrameReader(), b"", False
            for piece in pieces:
                reader.feed(piece)
                while not ended and (chunk := reader.chunk()) is not None:
                    found += chunk
                    ended = not chunk
            assert ended and found == b"hello world"
            assert reader.frame() == {"next": 1}

    def test_content_that_is_withdrawn(self) -> None:
        reader = FrameReader()
        reader.feed(encode_chunk(b"x") + ABORT_CONTENT + encode_frame({"next": 1}))
        assert reader.chunk() == b"x"
        with pytest.raises(ContentAborted):
            reader.chunk()
        assert reader.frame() == {"next": 1}

    def test_an_oversized_chunk(self) -> None:
        reader = FrameReader()
        reader.feed((CHUNK_LIMIT + 1).to_bytes(4, "big"))
        with pytest.raises(ProtocolError, match="chunk of"):
            reader.chunk()

    def test_the_abort_mark_is_no_frame(self) -> None:
        reader = FrameReader()
        reader.feed(ABORT_CONTENT)
        with pytest.raises(ProtocolError):
            reader.frame()


class TestAttributes:
    FRAME = Attributes({"t": "x", "i": 3, "f": 1.5, "b": True, "l": ["a"], "d": {"k": "v"}, "g": [{"n": 1}], "n": None})

    def test_right_types(self) -> None:
        frame = self.FRAME
        assert (frame.text("t"), frame.integer("i"), frame.number("f"), frame.number("i")) == ("x", 3, 1.5, 3.0)
        assert (frame.boolean("b"), frame.items("l"), frame.texts("l")) == (True, ["a"], ("a",))
        assert frame.attributes("d").text("k") == "v"
        assert [group.integer("n") for group in frame.groups("g")] == [1]

    def test_defaults(self) -> None:
        frame = self.FRAME
        assert (frame.text("x", "y"), frame.integer("x", 7), frame.boolean("x", False), frame.texts("x", [])) == (
            "y",
            7,
            False,
            (),
        )

    @pytest.mark.parametrize(
        ("getter", "name"),
        [
            *(("text", name) for name in "ixn"),
            *(("integer", name) for name in "bft"),
            *(("number", name) for name in "bt"),
            *(("boolean", name) for name in "it"),
            *(("items", name) for name in "td"),
            *(("texts", name) for name in "gt"),
            *(("attributes", name) for name in "lt"),
            *(("groups", name) for name in "ld"),
        ],
    )
    def test_wrong_ones_are_protocol_errors(self, getter: str, name: str) -> None:
        with pytest.raises(ProtocolError, match=f'"{name}"'):
            getattr(self.FRAME, getter)(name)

    def test_payloads(self) -> None:
        assert decode_payload(b'{"a":1}') == {"a": 1}
