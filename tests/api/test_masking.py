import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenttask_api.masking import HIDDEN, Mask, MaskedStream

SECRET = 'p@ss w/örd?+"1'
RAW = SECRET.encode()


@pytest.mark.parametrize(
    "seen",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        base64.b64encode(RAW).decode(),
        base64.urlsafe_b64encode(RAW).decode(),
        base64.b64encode(RAW).decode().rstrip("="),
        quote(base64.b64encode(RAW).decode(), safe=""),
        RAW.hex(),
        RAW.hex().upper(),
        json.dumps(SECRET)[1:-1],
    ],
)
def test_no_form_of_a_secret_is_seen(seen: str):
    assert Mask([SECRET], 8).text(f"a {seen} b") == f"a {HIDDEN} b"
    assert Mask([SECRET], 8).value({seen: [seen, 1]}) == {HIDDEN: [HIDDEN, 1]}


@pytest.mark.parametrize("user", ["u", "us", "usr"])
def test_a_secret_is_found_at_every_place_in_a_base64_text(user: str):
    encoded = base64.b64encode(f"{user}:a long secret:x".encode()).decode()
    masked = Mask(["a long secret"], 8).text(f"Basic {encoded}")
    assert HIDDEN in masked
    kept = masked.removeprefix("Basic ").split(HIDDEN)
    assert sum(map(len, kept)) < 16, "what is left are the neighbours"


def test_short_values_are_no_secrets():
    assert Mask(["abc"], 4).text("abc abcd") == "abc abcd"
    assert Mask([], 4).text("x") == "x"


@given(
    st.lists(st.sampled_from([b"x", RAW, RAW[:5], RAW[5:], b"\xc3", b"\n"]), max_size=9), st.data()
)
def test_a_stream_is_masked_like_the_whole_however_it_is_cut(parts: list[bytes], data):
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    written: list[bytes] = []
    stream = MaskedStream(Mask([SECRET], 8), written.append)
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        stream.feed(whole[begin:end])
    stream.close()
    expected = Mask([SECRET], 8).text(whole.decode("utf-8", "replace"))
    assert b"".join(written).decode() == expected


def test_a_stream_holds_back_no_more_than_a_secret():
    written: list[bytes] = []
    stream = MaskedStream(Mask([SECRET], 8), written.append)
    stream.feed(b"y" * 10_000)
    assert len(b"".join(written)) > 9_000
