"""Samples over a span: even steps, gaps where there was none, the ring that holds the span."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank_cli.base.walk import Root
from memorybank_cli.health.history import STEPS, history, ring_of
from memorybank_cli.health.samples import LONG, SHORT, Samples

NOON = 1_763_985_600


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    found = Root(tmp_path)
    yield found
    found.close()


@pytest.fixture
def rings(root: Root) -> Iterator[Samples]:
    found = Samples(root)
    yield found
    found.close()


def test_nothing(root: Root) -> None:
    found = history(root, 3_600, NOON)
    assert (found.series, found.newest, found.step) == ((), None, 60)


def test_a_few_minutes_step_by_step(root: Root, rings: Samples) -> None:
    for second in (0, 5, 15):
        rings.put({"score": second}, NOON + second)
    rings.put({"files": 9}, NOON + 20)
    found = history(root, 30, NOON + 22, ["score", "none"])
    assert found[:3] == (NOON - 5, NOON + 25, 5)
    assert found.newest == NOON + 20
    one = found.series[0]
    assert len(found.series) == 1
    assert list(one.values) == [None, 0, 5, None, 15, None]
    assert (one.name, one.least, one.mean, one.most, one.last) == ("score", 0, 20 / 3, 15, 15)
    assert [one.name for one in history(root, 30, NOON + 22).series] == ["files", "score"]


def test_no_more_than_is_kept(root: Root, rings: Samples) -> None:
    rings.put({"score": 1}, NOON)
    found = history(root, 10**12, NOON + 7, ["score"])
    assert (found.until - found.since, found.step) == (90 * 86_400, 129_600)
    assert found.newest == NOON


def test_the_last_sample_is_of_the_short_ring(root: Root, rings: Samples) -> None:
    for second in (0, 200):
        rings.put({"score": 1}, NOON + second)
    assert history(root, 86_400, NOON + 210).newest == NOON + 200
    assert history(root, 86_400, NOON + 5_000).newest == NOON


def test_steps_have_means(root: Root, rings: Samples) -> None:
    for second in range(0, 600, 5):
        rings.put({"score": second}, NOON + second)
    found = history(root, 600, NOON + 599, ["score"])
    assert (found.step, len(found.series[0].values)) == (10, STEPS)
    assert found.series[0].values[:3] == (2.5, 12.5, 22.5)
    assert (found.series[0].least, found.series[0].most, found.series[0].last) == (0, 595, 595)


@pytest.mark.parametrize(
    ("span", "ring", "step", "count"),
    [
        (1, SHORT, 5, 1),
        (3_600, SHORT, 60, 60),
        (3_601, LONG, 300, 13),
        (86_400, LONG, 1_500, 58),
        (90 * 86_400, LONG, 129_600, 60),
    ],
)
def test_spans(root: Root, rings: Samples, span: int, ring: object, step: int, count: int) -> None:
    rings.put({"score": 1}, NOON)
    found = history(root, span, NOON, ["score"])
    assert (ring_of(span), found.step, len(found.series[0].values)) == (ring, step, count)
    assert found.until - found.since == step * count
    assert found.series[0].values[-1] == 1
