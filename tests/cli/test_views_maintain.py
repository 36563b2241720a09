"""What people see of maintenance runs and of the schedule."""

from __future__ import annotations

from typing import Any

from memorybank_cli.base.records import Finding
from memorybank_cli.cli.blocks import Findings, Table, Text
from memorybank_cli.cli.views.maintain import maintained, scheduled
from memorybank_cli.operations.maintain import MaintainReport, StepReport
from memorybank_cli.operations.schedule import ScheduleReport


def step(name: str, job: str = "daily", **changed: Any) -> StepReport:
    given: dict[str, Any] = {"result": "done", "seconds": 0.1234, "message": "all of it"}
    return StepReport(job, name, **{**given, **changed})


def report(*steps: StepReport, **changed: Any) -> MaintainReport:
    return MaintainReport("daily", "2026-11-21T06:00:00.000000Z", 1.5, steps, **changed)


def test_a_line_a_step() -> None:
    finding = Finding("MB102", "damaged", "state/a.json")
    made = report(step("validate", findings=(finding,), result="trouble"), step("backup", findings=(finding,)))
    findings, table = maintained(made.as_dict())
    assert isinstance(findings, Findings)
    assert [one["path"] for one in findings.findings] == ["state/a.json"]
    assert table == Table(
        ("step", "result", "time", "what"),
        [["validate", "trouble", "0.12 s", "all of it"], ["backup", "done", "0.12 s", "all of it"]],
    )
    assert maintained(report(note="Nothing was missed").as_dict()) == [Findings([])]


def test_the_job_stands_before_the_step_where_there_are_several() -> None:
    [_, table] = maintained(report(step("verify", "weekly"), step("verify", "monthly")).as_dict())
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["weekly verify", "monthly verify"]


def test_the_closing_line_says_what_to_do_next() -> None:
    bad = report(step("a", result="trouble", hint="first"), step("b", result="failed", hint="second"), step("c"))
    assert bad.summary() == "daily: 3 steps in 1.5 s: 1 with trouble, 1 failed. Next: second"
    assert (bad.exit_code(), bad.tone) == (3, "bad")
    assert bad.warnings() == ["daily a trouble: all of it; first", "daily b failed: all of it; second"]
    skipped = report(step("a", result="skipped"), step("b", result="unfinished"))
    assert skipped.summary() == "daily: 2 steps in 1.5 s: 1 unfinished, 1 skipped"
    assert (skipped.exit_code(), skipped.tone) == (0, "warning")
    assert report(note="Nothing was missed").summary() == "Nothing was missed"


def schedule(**changed: Any) -> ScheduleReport:
    given: dict[str, Any] = {
        "by": "cron",
        "service": False,
        "jobs": (),
        "written": {},
        "notes": (),
        "done": "shown",
    }
    return ScheduleReport(**{**given, **changed})


def test_the_jobs_with_their_last_runs() -> None:
    jobs = (
        {"job": "maintain daily", "when": "every day, 06:00", "next": "2026-11-22T06:00:00.000000Z"},
        {"job": "maintain weekly", "when": "x", "last_run": "2026-11-22T02:01:00Z", "ok": True, "seconds": 60},
        {"job": "maintain monthly", "when": "x", "last_run": "2026-11-01T01:01:00Z", "ok": False, "seconds": 0.5},
    )
    [_, table] = scheduled(vars(schedule(jobs=jobs)))
    assert isinstance(table, Table)
    assert table.rows == [
        ["maintain daily", "every day, 06:00", "2026-11-22T06:00Z", None, None],
        ["maintain weekly", "x", None, "2026-11-22T02:01Z", "good, 60.0 s"],
        ["maintain monthly", "x", None, "2026-11-01T01:01Z", "failed, 0.5 s"],
    ]
    assert scheduled(vars(schedule(by=None, jobs=jobs))) == [Findings(())]


def test_what_is_written_and_what_is_left_to_do() -> None:
    blocks = scheduled(vars(schedule(written={"crontab": "one\ntwo\n"}, notes=("enable lingering",), dry_run=True)))
    assert blocks == [
        Findings(()),
        Text("crontab would be written:", "strong"),
        Text("one", "dim"),
        Text("two", "dim"),
        Text("enable lingering", "warning"),
    ]
    assert scheduled(vars(schedule(written={"crontab": ""}))) == [Findings(()), Text("out of crontab", "strong")]
    assert schedule(done="installed", service=True).summary() == "Scheduled by the crontab, watch as a service."
    assert [schedule().tone, schedule(by=None).tone, schedule(notes=("x",)).tone] == ["good", "", "warning"]
    assert schedule(done="removed", by=None, written={"crontab": ""}).summary() == "The schedule is removed."
