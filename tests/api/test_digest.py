"""The digest survives its own limits and refuses everything that is not whole."""

import json
import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenttask_api.digest import MAX_DIGEST_BYTES, BadDigest, Digest, parse_digest, write_digest
from agenttask_api.reasons import Reason

COUNT = st.integers(min_value=0, max_value=2**53)
HEX = st.text(alphabet="0123456789abcdef", min_size=40, max_size=40)
BRANCH = st.text(alphabet=string.ascii_letters + string.digits + "_./-", max_size=200)
TRIPLE = st.tuples(COUNT, COUNT, COUNT)
DIGESTS = st.builds(
    Digest,
    run_key=st.from_regex(r"[a-z0-9-]{1,20}-[0-9a-f]{8}", fullmatch=True),
    reason=st.sampled_from(Reason),
    final=st.booleans(),
    phase=st.sampled_from(["", "Succeeded", "Failed", "Cancelled"]),
    verdict=st.sampled_from(["", "Verified", "Unverified", "Rejected", "NoChange"]),
    message=st.text(max_size=2000),
    started=st.sampled_from(["", "2026-01-02T03:04:05Z"]),
    base=HEX,
    commit=HEX,
    branch=BRANCH,
    files=COUNT,
    insertions=COUNT,
    deletions=COUNT,
    tests=st.none() | TRIPLE,
    operations=TRIPLE,
    calls=COUNT,
    input_tokens=COUNT,
    output_tokens=COUNT,
    result_sha256=st.just("") | st.just("f" * 64),
    stored=st.none() | st.booleans(),
)


def sealed(body: str) -> str:
    """A forgery: any JSON as a body, with the checksum that goes with it."""
    canonical = json.dumps(
        json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    checksum = zlib.crc32(canonical.encode(errors="surrogatepass"))
    return f'{{"d":{body},"c":"{checksum:08x}"}}'


@given(DIGESTS)
def test_digest_comes_back_and_fits(digest: Digest) -> None:
    text = write_digest(digest)
    back = parse_digest(text)
    assert len(text.encode()) <= MAX_DIGEST_BYTES
    assert back.model_copy(update={"message": ""}) == digest.model_copy(update={"message": ""})
    kept = back.message.removesuffix("...")
    assert back.message == digest.message or digest.message.startswith(kept)


@given(DIGESTS)
def test_short_message_is_not_cut(digest: Digest) -> None:
    short = digest.model_copy(update={"message": "tests failed", "branch": "agenttask/x"})
    assert parse_digest(write_digest(short)) == short


@given(DIGESTS, st.data())
def test_cut_digest_is_refused(digest: Digest, data: st.DataObject) -> None:
    text = write_digest(digest)
    cut = text[: data.draw(st.integers(min_value=0, max_value=len(text) - 1))]
    with pytest.raises(BadDigest):
        parse_digest(cut)


@given(DIGESTS, st.characters(codec="utf-8"), st.data())
def test_changed_digest_is_refused(digest: Digest, other: str, data: st.DataObject) -> None:
    """A change that means the same, such as another case in an escape, changes nothing."""
    text = write_digest(digest)
    at = data.draw(st.integers(min_value=0, max_value=len(text) - 1))
    changed = text[:at] + other + text[at + 1 :]
    try:
        assert parse_digest(changed) == parse_digest(text), f"{other!r} at {at} went unnoticed"
    except BadDigest:
        return


def test_message_with_the_odd_bytes_of_a_file_name_is_escaped() -> None:
    message = b"cannot read caf\xe9.txt".decode(errors="surrogateescape")
    digest = Digest(run_key="1-00000000", reason=Reason.RUNNING, message=message)
    assert parse_digest(write_digest(digest)).message == r"cannot read caf\udce9.txt"


def test_digest_that_cannot_fit_is_refused() -> None:
    digest = Digest(run_key="1-00000000", reason=Reason.RUNNING, branch="x" * 2000)
    with pytest.raises(BadDigest, match="no message left to cut"):
        write_digest(digest)


HOSTILE = [
    pytest.param("", id="nothing"),
    pytest.param("Error: exit status 1", id="prose"),
    pytest.param("[" * 100_000, id="deep unclosed list"),
    pytest.param("[" * 100_000 + "]" * 100_000, id="deep list"),
    pytest.param('{"d":' * 50_000 + "1" + "}" * 50_000, id="deep mapping"),
    pytest.param("9" * 10_000, id="number of ten thousand digits"),
    pytest.param('{"d":{"files":' + "9" * 10_000 + '},"c":""}', id="huge number in the body"),
    pytest.param(sealed('{"runKey":"1","reason":"Running","files":1e999}'), id="infinity"),
    pytest.param(sealed('{"runKey":"1","reason":"Running","files":NaN}'), id="not a number"),
    pytest.param(sealed('{"runKey":"\\ud800","reason":"Running"}'), id="lone surrogate"),
    pytest.param('{"d":{"runKey":"\ud800"},"c":"0"}', id="raw lone surrogate"),
    pytest.param(sealed('{"runKey":"1","reason":"Excellent"}'), id="unknown reason"),
    pytest.param(sealed('{"runKey":"1","reason":"Running","tests":[1,2]}'), id="short tuple"),
    pytest.param(sealed('{"runKey":["1"],"reason":"Running"}'), id="list for a text"),
    pytest.param(sealed("null"), id="null body"),
    pytest.param(sealed("[]"), id="list body"),
    pytest.param("[]", id="list"),
    pytest.param('"d"', id="text"),
    pytest.param("null", id="null"),
    pytest.param('{"d":{}}', id="without checksum"),
    pytest.param('{"d":{},"c":[]}', id="checksum of another type"),
    pytest.param("\x00\x01\x02", id="control characters"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(BadDigest):
        parse_digest(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.text(st.characters()) | JSON.map(json.dumps) | JSON.map(json.dumps).map(sealed))
def test_arbitrary_text_raises_nothing_else(text: str) -> None:
    with pytest.raises(BadDigest):
        parse_digest(text)
