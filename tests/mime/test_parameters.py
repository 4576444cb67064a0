"""RFC 2231 parameters as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.mime.fields import parse_parameters
from pillarbox.lib.mime.parameters import decode_parameters


@pytest.mark.parametrize(
    "written, decoded",
    [
        (b"; name=a; NAME=b", {"name": "a"}),
        (b"; name=Gr\xc3\xbc\xc3\x9fe", {"name": "Grüße"}),
        (b"; name=\xfc", {"name": "ü"}),
        (b"; filename*=utf-8'de'Gr%C3%BC%C3%9Fe.txt", {"filename": "Grüße.txt"}),
        (b"; filename=plain.txt; filename*=iso-8859-1''%FC.txt", {"filename": "ü.txt"}),
        (b"; t*0*=us-ascii'en'This%20is%20; t*1*=%2A%20; t*2=\"isn't it!\"", {"t": "This is * isn't it!"}),
        (b"; t*1=b; t*0=a; t*3=d", {"t": "ab"}),
        (b"; t*1=b", {}),
        (b"; t*0*=utf-8''%C3; t*1*=%BC", {"t": "ü"}),
        (b"; t*=no-charset", {"t": "no-charset"}),
        (b"; t*=x-unknown''%41", {"t": "A"}),
        (b"; t*=%zz%4", {"t": "%zz%4"}),
        (b"; *=a; t**=b; t*x=c", {}),
    ],
)
def test_decoding(written: bytes, decoded: dict[str, str]) -> None:
    assert decode_parameters(parse_parameters(written, 0)) == decoded


@given(st.binary())
def test_any_octets_have_parameters(data: bytes) -> None:
    decode_parameters(parse_parameters(b"; a*=" + data, 0))
