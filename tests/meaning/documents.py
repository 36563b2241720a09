"""JSON documents as agents write them, for properties of inference."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(
    ["id", "price", "side", "at", "tags", "BTC", "ETH-USD", "note", "risk", "schema version", "ts", "x", "y", "z", ""]
)
TEXTS = st.one_of(
    st.sampled_from(["buy", "sell", "2025-01-02", "2025-01-02T03:04:05Z", "2025-01-02T03:04:05", "1.50", "12", ""]),
    st.sampled_from(
        ["0x" + "ab" * 20, "c" * 64, "123e4567-e89b-42d3-a456-426614174000", "https://a.b/c", "2025-13-41"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(),
    st.sampled_from([10**30, -(10**400), 1_700_000_000]),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=12
)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=6)
DOCUMENTS = st.lists(st.one_of(RECORDS, VALUES), min_size=1, max_size=12)
