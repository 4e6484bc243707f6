"""The engine against a sorted dict, keys of every length and shape."""

from __future__ import annotations

import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.core.store import LmdbEngine, StoreFull

_units = st.sampled_from([b"\x00", b"\x01", b"\x7f", b"\xff"])
_lengths = st.sampled_from(
    [1, 2, 3, 498, 499, 500, 501, 502, 510, 511, 512, 999, 1000, 1001, 1002, 1500, 1501, 10240]
)
_keys = st.builds(
    lambda unit, length, tail: (unit * length + tail)[:10240],
    _units,
    _lengths,
    st.binary(max_size=2),
)
_batches = st.lists(
    st.dictionaries(_keys, st.none() | st.binary(max_size=3), max_size=8), max_size=6
)


@settings(max_examples=150, deadline=None)
@given(_batches, st.lists(st.tuples(_keys | st.just(b""), _keys), min_size=1, max_size=6))
def test_long_and_short_keys_keep_one_order(batches, spans):
    """LMDB refuses keys above 511 bytes; the paths that stand for them must not show anywhere."""
    with tempfile.TemporaryDirectory() as folder:
        engine, model = LmdbEngine(folder), {}
        for position, batch in enumerate(batches, 1):
            engine.apply(batch, position)
            model.update(batch)
            model = {k: v for k, v in model.items() if v is not None}
        reading = engine.reading()
        assert reading.position == len(batches)
        for key in [*model, *(k for span in spans for k in span)]:
            assert reading.get(key) == model.get(key)
        for start, stop in spans:
            rows = sorted((k, v) for k, v in model.items() if start <= k < stop)
            assert list(reading.scan(start, stop)) == rows
            assert list(reading.scan(start, stop, reverse=True)) == rows[::-1]
            for expected in (1, 3):
                assert list(reading.scan(start, stop, expected=expected)) == rows
        engine.close()


def test_pages_of_a_scan_meet_without_gaps(tmp_path):
    """Rows are read some at a time; where one page ends and the next begins must not show."""
    engine = LmdbEngine(str(tmp_path))
    rows = [(b"%04d" % i, b"v" * (i % 7000)) for i in range(700)]
    engine.apply(dict(rows), 1)
    reading = engine.reading()
    for expected in (0, 1, 2, 15, 16, 17, 100, 699, 700, 701, 5000):
        for low, high in ((0, 700), (1, 699), (13, 14), (100, 164), (0, 2)):
            span = b"%04d" % low, b"%04d" % high
            assert list(reading.scan(*span, expected=expected)) == rows[low:high]
            assert (
                list(reading.scan(*span, expected=expected, reverse=True)) == rows[low:high][::-1]
            )
    engine.close()


def test_a_space_goes_with_its_last_key(tmp_path):
    """Else keys that come and go would leave a row for every chunk they ever had."""
    engine = LmdbEngine(str(tmp_path))
    keys = [b"a" * 10_000 + bytes([i]) for i in range(10)] + [b"a" * 600]
    engine.apply(dict.fromkeys(keys, b"v"), 1)
    engine.apply(dict.fromkeys(keys), 2)
    with engine._env.begin() as txn:
        assert txn.stat(engine._data)["entries"] == txn.stat(engine._long)["entries"] == 0
    engine.close()


def test_a_reading_sees_one_position(tmp_path):
    engine = LmdbEngine(str(tmp_path))
    engine.apply({b"a": b"1"}, 1)
    before = engine.reading()
    engine.apply({b"a": b"2", b"b": b"2"}, 2)
    assert (before.position, before.get(b"a"), list(before.scan(b"a", b"z"))) == (
        1,
        b"1",
        [(b"a", b"1")],
    )
    assert engine.reading().get(b"a") == b"2"
    engine.close()


def test_a_full_map_changes_nothing_and_grows_under_open_readings(tmp_path):
    """Where the system refuses a sparse map larger than any disk, we start small."""
    engine = LmdbEngine(str(tmp_path), map_size_bytes=1 << 20)
    engine.apply({b"a": b"1"}, 1)
    reading = engine.reading()
    big = {b"k%03d" % i: b"x" * 10_000 for i in range(200)}
    with pytest.raises(StoreFull):
        engine.apply(big, 2)
    assert engine.reading().position == 1
    for _ in range(8):
        engine.grow()
        try:
            engine.apply(big, 2)
            break
        except StoreFull:
            continue
    assert (reading.position, reading.get(b"a"), reading.get(b"k001")) == (1, b"1", None)
    assert engine.reading().get(b"k199") == b"x" * 10_000
    engine.close()


def test_destroyed_it_starts_empty(tmp_path):
    engine = LmdbEngine(str(tmp_path / "s"))
    engine.apply({b"a": b"1"}, 7)
    engine.destroy()
    again = LmdbEngine(str(tmp_path / "s"))
    assert again.reading().position == 0
    again.close()


def test_an_unknown_format_is_rebuilt(tmp_path):
    engine = LmdbEngine(str(tmp_path))
    engine.apply({b"a": b"1"}, 7)
    with engine._env.begin(db=engine._meta, write=True) as txn:
        txn.put(b"format", b"1")
    engine.close()
    again = LmdbEngine(str(tmp_path))
    assert again.reading().position == 0
    again.close()
