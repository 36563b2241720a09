from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base import clock
from memorybank_cli.snapshots.documents import SAFETY, Document
from memorybank_cli.snapshots.retention import (
    JUMP,
    LAST_GOOD,
    Decision,
    Policy,
    decide,
    is_good,
    last_good,
)

START = datetime(2026, 11, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TEN_YEARS = timedelta(days=3653)
USUAL = Policy(weekly=4, monthly=12, within=7 * DAY)


def snapshot(seq: int, time: datetime | str, **fields: Any) -> Document:
    shown = time if isinstance(time, str) else clock.show(time)
    values: dict[str, Any] = {
        "id": f"s{seq:04}", "time": shown, "host": "here", "root": "0" * 64, "parent": None, "bank_id": "bank",
        "seq": seq, "checkpoint": None, "files": 1, "bytes": 1, "records": 1, "status": "good", "reasons": (),
        "excluded": (), "tags": (), "digest": "0" * 64, **fields,
    }  # fmt: skip
    return Document(**values)


def daily(days: int, start: datetime = START) -> list[Document]:
    return [snapshot(number, start + number * DAY) for number in range(1, days + 1)]


def kept(decisions: Iterable[Decision]) -> list[str]:
    return [one.snapshot.id for one in decisions if one.kept]


def forgotten(decisions: Iterable[Decision]) -> set[str]:
    return {one.snapshot.id for one in decisions if not one.kept}


def reasons(decisions: Iterable[Decision], name: str) -> tuple[str, ...]:
    return next(one.reasons for one in decisions if one.snapshot.id == name)


def test_the_usual_policy_keeps_a_week_then_weeks_then_months() -> None:
    # From Tuesday 3 November 2026 to Wednesday 31 March 2027.
    found = decide(daily(149), USUAL)
    assert [clock.parse(one.snapshot.time).strftime("%m-%d") for one in found if one.kept] == [
        "11-30", "12-31", "01-31", "02-28", "03-14", "03-21", "03-24", "03-25", "03-26", "03-27", "03-28", "03-29",
        "03-30", "03-31",
    ]  # fmt: skip
    assert reasons(found, "s0149") == ("last 3 good", "within 7d", "weekly 2027-W13", "monthly 2027-03")
    assert reasons(found, "s0148") == ("last 3 good", "within 7d")
    assert reasons(found, "s0028") == ("monthly 2026-11",)
    assert reasons(found, "s0029") == ()


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy(last=4), "last 4"),
        (Policy(hourly=4), "hourly 2026-11-03T12"),
        (Policy(daily=4), "daily 2026-11-03"),
        (Policy(weekly=1), "weekly 2026-W45"),
        (Policy(monthly=1), "monthly 2026-11"),
        (Policy(yearly=1), "yearly 2026"),
        (Policy(within=3 * DAY), "within 3d"),
        (Policy(within=timedelta(hours=73)), "within 73h"),
        (Policy(within=timedelta(minutes=4_321)), "within 4321m"),
        (Policy(within=timedelta(seconds=259_201)), "within 259201s"),
        (Policy(tags=("a",)), "tag a"),
    ],
)
def test_each_rule_gives_its_reason(policy: Policy, reason: str) -> None:
    made = [snapshot(0, START - 40 * DAY), *daily(4)]
    if not policy.within and not policy.last and not policy.hourly and not policy.daily:
        made = [made[0], snapshot(1, START + DAY, tags=("a",))]
    found = decide(made, policy)
    assert reason in reasons(found, "s0001")


def test_counts_are_of_days_that_have_snapshots_so_a_pause_takes_nothing_away() -> None:
    before = daily(5)
    after = [snapshot(10, START + 200 * DAY)]
    assert kept(decide([*before, *after], Policy(daily=4))) == ["s0003", "s0004", "s0005", "s0010"]


def test_of_a_day_the_newest_stays() -> None:
    made = [snapshot(number, START + timedelta(hours=number)) for number in range(8)]
    assert kept(decide(made, Policy(daily=1))) == ["s0005", "s0006", "s0007"]


def test_pinned_and_tagged_ones_stay() -> None:
    made = daily(30)
    made[0] = snapshot(1, START + DAY, tags=("release", "x"))
    found = decide(made, Policy(last=1, tags=("release",)), pinned={"s0002"})
    assert kept(found) == ["s0001", "s0002", "s0028", "s0029", "s0030"]
    assert reasons(found, "s0001") == ("tag release",)
    assert reasons(found, "s0002") == ("pinned",)


def test_a_suspect_one_takes_the_place_of_no_good_one_and_is_kept_beside_it() -> None:
    made = [snapshot(number, START + number * timedelta(hours=6)) for number in range(40)]
    for number in (37, 38, 39):
        made[number] = snapshot(number, made[number].time, status="suspect")
    found = decide(made, Policy(daily=2))
    # On the last day three are suspect: the newest of them is evidence, and the good one of the day stays too.
    assert kept(found) == ["s0033", "s0034", "s0035", "s0036", "s0037", "s0039"]
    assert reasons(found, "s0039") == ("daily 2026-11-12",)
    assert reasons(found, "s0036") == ("last 3 good", "daily 2026-11-11")


def test_suspect_ones_do_not_use_up_the_last_n() -> None:
    made = [snapshot(number, START + number * DAY, status="suspect" if number > 4 else "good") for number in range(9)]
    assert kept(decide(made, Policy(last=4))) == [f"s{number:04}" for number in range(1, 9)]


def test_days_with_nothing_but_suspect_ones_are_not_counted() -> None:
    made = [snapshot(number, START + number * DAY, status="suspect" if number % 2 else "good") for number in range(12)]
    assert kept(decide(made, Policy(daily=4))) == ["s0004", *(f"s{number:04}" for number in range(5, 12))]


def test_what_a_rollback_replaced_has_a_week_of_its_own_and_is_no_good_one() -> None:
    made = daily(20)
    made += [snapshot(21, made[-1].time, tags=(SAFETY,)), snapshot(5, made[4].time, id="old", tags=(SAFETY,))]
    found = decide(made, Policy(last=1))
    assert kept(found) == ["s0018", "s0019", "s0020", "s0021"]
    assert reasons(found, "s0021") == ("last 1", "undo of a rollback, within 7d")
    assert forgotten(found) >= {"old"}


def test_an_old_clock_takes_nothing_away() -> None:
    """A machine without a battery makes snapshots of 1970 until it has the time."""
    made = daily(10)
    made += [snapshot(20 + number, datetime(1970, 1, 1, number, tzinfo=UTC)) for number in range(3)]
    found = decide(made, Policy(daily=8))
    assert forgotten(found) == {"s0001", "s0002"}
    assert reasons(found, "s0021") == ("last 3 good", "time unsure, beside one that stays")
    # By the clock the last three good ones are others; those stay too.
    assert "last 3 good" in reasons(found, "s0010")


def test_a_wrong_time_goes_with_those_around_it() -> None:
    made = daily(30)
    made[4] = snapshot(5, START + TEN_YEARS)
    made[28] = snapshot(29, START - TEN_YEARS)
    found = decide(made, Policy(within=3 * DAY))
    assert kept(found) == ["s0005", "s0027", "s0028", "s0029", "s0030"]
    assert reasons(found, "s0029") == ("last 3 good", "time unsure, beside one that stays")
    assert reasons(found, "s0005") == ("last 3 good",)  # the newest by its clock; somebody has to look at it


def test_wrong_times_of_what_is_no_good_one() -> None:
    """The undo of a rollback has its week, and evidence stays in the time that is kept, whatever their clocks say."""
    made = [snapshot(seq, START + seq * timedelta(hours=1)) for seq in range(1, 12)]
    made[4] = snapshot(5, START - TEN_YEARS, tags=(SAFETY,))
    assert "s0005" in kept(decide(made, Policy(last=1)))
    made[4] = snapshot(5, START - TEN_YEARS, status="suspect")
    assert "s0005" in kept(decide(made, Policy(daily=1)))
    assert "s0005" not in kept(decide(made, Policy(last=1)))


def test_a_wrong_time_with_nothing_before_it_is_kept() -> None:
    """By a right clock it would be of the day before, and the second day that is kept."""
    made = [snapshot(1, START + TEN_YEARS, status="suspect")]
    made += [snapshot(seq, START + seq * timedelta(hours=1)) for seq in range(2, 8)]
    found = decide(made, Policy(daily=2))
    assert reasons(found, "s0001") == ("time unsure, beside one that stays",)
    assert forgotten(found) == {"s0002", "s0003", "s0004"}


def test_a_clock_that_runs_ten_years_ahead_makes_nothing_old() -> None:
    made = daily(8)
    ahead = [snapshot(20 + number, START + TEN_YEARS) for number in range(2)]
    assert forgotten(decide(made, Policy(within=7 * DAY))) == set()
    assert forgotten(decide([*made, *ahead], Policy(within=7 * DAY))) == set()


def test_a_journal_that_began_anew_takes_nothing_away() -> None:
    history = daily(30)
    numbered = [
        snapshot(number * 3, START + (30 + number) * DAY, id=f"n{number:04}", number=number) for number in range(1, 31)
    ]
    before: set[str] = set()
    for one in numbered:  # the journal of the restored bank stays behind the old one's for all these days
        history = [found.snapshot for found in decide([*history, one], USUAL) if found.kept]
        before |= {one.id}
        recent = {found.id for found in numbered[max(0, len(before) - 7) : len(before)]}
        assert recent <= {found.id for found in history}
        assert history[-1] == one


def test_a_time_that_nobody_can_read_is_kept() -> None:
    made = [snapshot(1, "yesterday"), snapshot(2, "9999-12-31T23:59:59-23:00"), *(daily(9)[2:])]
    assert {"s0001", "s0002"} <= set(kept(decide(made, Policy(last=1))))


def test_no_snapshots_no_decisions() -> None:
    assert decide([], USUAL) == []


def test_an_empty_policy_knows_itself() -> None:
    assert Policy().is_empty
    assert not Policy(tags=("x",)).is_empty
    assert str(Policy(last=1, daily=2, within=timedelta(hours=36), tags=("x",))) == "within 36h, last 1, daily 2, tag x"


def test_a_decision_as_a_preview_shows_it() -> None:
    [found] = decide([snapshot(1, START)], USUAL)
    assert found.as_dict() == {
        "id": "s0001", "time": "2026-11-02T12:00:00.000000Z", "seq": 1, "status": "good", "tags": [], "files": 1,
        "bytes": 1, "keep": True,
        "reasons": ["last 3 good", "within 7d", "weekly 2026-W45", "monthly 2026-11"],
    }  # fmt: skip


# Properties. Times are those of a right clock, in steps of up to five weeks, unless a property says otherwise.
steps = st.lists(st.integers(0, 35 * 24 * 60), min_size=1, max_size=60)
kinds = st.sampled_from(["good", "good", "good", "suspect", "safety"])
policies = st.builds(
    Policy,
    last=st.integers(0, 6),
    hourly=st.integers(0, 6),
    daily=st.integers(0, 8),
    weekly=st.integers(0, 6),
    monthly=st.integers(0, 6),
    yearly=st.integers(0, 3),
    within=st.integers(0, 60).map(lambda days: days * DAY),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Document]:
    time, made = START, []
    for seq, minutes in enumerate(draw(steps), 1):
        time += timedelta(minutes=minutes)
        kind = draw(kinds)
        made.append(
            snapshot(
                seq,
                time,
                status="suspect" if kind == "suspect" else "good",
                tags=(SAFETY,) if kind == "safety" else (),
            )
        )
    return made


def shifted(one: Document, by: timedelta) -> Document:
    return snapshot(one.seq, clock.parse(one.time) + by, status=one.status, tags=one.tags)


def wanted(history: list[Document], policy: Policy) -> set[str]:
    """What the policy asks for, computed in the plainest way."""
    good = [one for one in history if is_good(one)]
    found = {one.id for one in good[-max(policy.last, LAST_GOOD) :]}
    newest = clock.parse(history[-1].time)
    found |= {one.id for one in history if policy.within and newest - clock.parse(one.time) <= policy.within}
    forms = {"hourly": "%Y%m%d%H", "daily": "%Y%m%d", "weekly": "%G%V", "monthly": "%Y%m", "yearly": "%Y"}
    for rule, form in forms.items():
        buckets = {clock.parse(one.time).strftime(form): one.id for one in good}  # the newest of each
        count = getattr(policy, rule)
        found |= set(list(buckets.values())[-count:]) if count else set()
    return found


@given(histories(), policies)
def test_never_fewer_than_the_policy_asks_for(history: list[Document], policy: Policy) -> None:
    assert wanted(history, policy) <= set(kept(decide(history, policy)))


@given(histories(), policies)
def test_good_ones_that_nothing_asks_for_go(history: list[Document], policy: Policy) -> None:
    good = {one.id for one in history if is_good(one)}
    assert good & set(kept(decide(history, policy))) <= wanted(history, policy)


@given(histories(), policies, st.data())
def test_the_last_three_good_ones_stay_whatever_the_clocks_say(
    history: list[Document], policy: Policy, data: st.DataObject
) -> None:
    made = [shifted(one, data.draw(st.sampled_from([-TEN_YEARS, 0 * DAY, TEN_YEARS]))) for one in history]
    good = [one.id for one in made if is_good(one)]
    found = set(kept(decide(made, policy)))
    assert set(good[-LAST_GOOD:]) <= last_good(made) <= found


@given(histories(), policies)
def test_a_second_run_forgets_nothing_more(history: list[Document], policy: Policy) -> None:
    first = decide(history, policy)
    again = decide([one.snapshot for one in first if one.kept], policy)
    assert forgotten(again) == set()


jumps = st.sampled_from(
    [-TEN_YEARS, -TEN_YEARS + 2 * DAY, 0 * DAY, 0 * DAY, TEN_YEARS, TEN_YEARS + timedelta(hours=11)]
)


@given(histories(), st.integers(1, 20), policies, st.data())
def test_newer_snapshots_by_a_jumping_clock_forget_nothing_that_a_right_clock_would_keep(
    history: list[Document], new: int, policy: Policy, data: st.DataObject
) -> None:
    old, added = history[:-new], history[-new:]
    jumped = [shifted(one, data.draw(jumps)) for one in added]
    right = forgotten(decide(history, policy))
    wrong = forgotten(decide([*old, *jumped], policy))
    assert wrong & {one.id for one in old} <= right


@given(histories(), policies, st.data())
def test_single_wrong_times_forget_nothing_that_a_right_clock_would_keep(
    history: list[Document], policy: Policy, data: st.DataObject
) -> None:
    """Jumps there and back again, of single snapshots anywhere: those around them are not more than they were."""
    wrong_ones = data.draw(st.sets(st.integers(1, max(1, len(history) - 2)), max_size=len(history) // 5))
    made = [
        shifted(one, data.draw(st.sampled_from([-TEN_YEARS, TEN_YEARS]))) if place in wrong_ones else one
        for place, one in enumerate(history)
    ]
    assert forgotten(decide(made, policy)) <= forgotten(decide(history, policy))


def test_a_jump_is_longer_than_any_two_years() -> None:
    assert datetime(2029, 1, 1, tzinfo=UTC) - datetime(2027, 1, 1, tzinfo=UTC) <= JUMP
    assert datetime(2025, 1, 1, tzinfo=UTC) - datetime(2023, 1, 1, tzinfo=UTC) <= JUMP < TEN_YEARS
