"""The screen at any size: every row as wide as the screen, as many as it has, and what matters on it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rich.cells import cell_len

from memorybank_cli.base import clock
from memorybank_cli.cli.live.controls import Controls, Row
from memorybank_cli.cli.live.layout import BARS, PLAIN_BARS, broken, draw, fitted, sparkline
from memorybank_cli.cli.live.model import BUCKET, Model
from tests.cli.test_live_model import HEALTHY, NOW, finding, line, told


def drawn(model: Model, size: tuple[int, int] = (80, 24), controls: Controls | None = None, **more: Any) -> list[str]:
    rows = draw(model, controls or Controls(), size, NOW, **more)
    texts = ["".join(text for text, _ in row) for row in rows]
    assert [cell_len(one) for one in texts] == [size[0]] * size[1]
    return [one.rstrip() for one in texts]


def busy(findings: int = 3, sections: int = 4) -> Model:
    held = {f"account_{one}": {"files": 5, "records": 90, "changed": clock.now()} for one in range(3)}
    more = {f"s{one}": {"files": one, "records": None, "changed": None} for one in range(sections - 1)}
    model = told({**HEALTHY[0], "sections": {**held, **more}}, HEALTHY[1])
    model.take(line("ready", backend="inotify", watched=12), NOW)
    model.tick(NOW)
    for one in range(findings):
        model.take(finding("MB101", f"trades/{one}.json"), NOW)
    for one in range(40):
        model.take(line("changed", path=f"trades/new_{one}.json", change="new"), NOW)
    model.tick(NOW + BUCKET)
    return model


def test_80_by_24() -> None:
    rows = drawn(busy())
    assert re.fullmatch(r"memorybank watch /bank +\d\d:\d\d:\d\dZ", rows[0])
    assert rows[1] == "100 of 100 healthy  3 findings, looked 0 s ago · inotify, 12 watched"
    assert rows[2] == "SECTION     FILES     RECORDS HEALTH   CHANGED"
    assert rows[3].startswith("accounts       15         270 ok       0 s ago")
    assert [one.split()[0] for one in rows[4:8]] == ["s0", "s1", "s2", "trades"]
    assert rows[4].endswith("never")
    assert rows[8] == "FINDINGS 3"
    assert rows[9] == "> error MB101 trades/0.json: is not JSON"
    assert rows[10] == "    memorybank repair"
    assert [one for one in rows if one.startswith("changes ")] == [rows[-9]]
    assert rows[-8] == "EVENTS"
    assert rows[-2].endswith("new trades/new_39.json")
    assert rows[-1] == "? help   q quit   f filter   p pause   a accept   r roll back"


@pytest.mark.parametrize("width", [1, 2, 7, 10, 20, 40, 79, 80, 81, 119, 120, 200, 500])
@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 8, 11, 12, 24, 60])
def test_every_size_is_filled_exactly(width: int, height: int) -> None:
    for model in (told(), busy(), busy(200, 60)):
        for controls in (
            Controls(),
            Controls(selected=150, moved=True),
            Controls(paused_at=5, filter="new", busy="rolling back"),
        ):
            drawn(model, (width, height), controls)


@pytest.mark.parametrize("size", [(0, 24), (80, 0)])
def test_no_size_is_no_rows(size: tuple[int, int]) -> None:
    assert draw(busy(), Controls(), size, NOW) == []


@pytest.mark.parametrize("size", [(40, 24), (80, 24), (200, 40)])
def test_plain_is_ascii(size: tuple[int, int]) -> None:
    assert "".join(drawn(busy(), size, plain=True)).isascii()


def test_40_columns_say_the_same() -> None:
    rows = drawn(busy(), (40, 24))
    assert "RECORDS" not in "\n".join(rows)
    assert rows[2].endswith("HEALTH   CHANGED")
    assert any(one.startswith("> error MB101 trades/0.json") for one in rows)
    assert rows[-1] == "? help   q quit   f filter   p pause"


def test_200_columns_have_findings_beside_sections() -> None:
    rows = drawn(busy(), (200, 40))
    assert rows[2].startswith("SECTION")
    assert rows[2].endswith("FINDINGS 3")
    assert "> error MB101 trades/0.json" in rows[3]


def test_a_second_watch_says_that_it_is_one() -> None:
    model = busy()
    model.take(line("ready", backend="inotify", watched=12, role="following"), NOW)
    assert "another watch adopts · 3 findings" in drawn(model)[1]
    model.take(line("role", role="leading"), NOW)
    assert "another watch" not in drawn(model)[1]


def test_a_tiny_screen_says_the_health() -> None:
    assert drawn(busy(), (30, 2)) == ["100 of 100 healthy  3 findin..", "? help   q quit   f filter"]
    assert drawn(busy(), (30, 1)) == ["100 of 100 healthy  3 findin.."]


def test_a_long_path_shows_its_end() -> None:
    model = Model("/a/very/long/path/" * 9 + "bank", 30.0)
    assert re.fullmatch(r"memorybank watch \.\..*/bank +\d\d:\d\d:\d\dZ", drawn(model)[0])


def test_many_sections_show_those_in_trouble() -> None:
    model = busy(0, 60)
    model.take(finding("MB101", "state/a.json"), NOW)
    rows = drawn(model)
    assert re.search(r"\(\d+ more\)", rows[2])
    assert any(one.startswith("state ") and "error" in one for one in rows)


def test_the_chosen_finding_is_in_sight() -> None:
    rows = drawn(busy(200), controls=Controls(selected=123, moved=True))
    [chosen] = [one for one in rows if one.startswith("> ")]
    assert chosen.split()[3] == sorted(f"trades/{one}.json:" for one in range(200))[123]
    controls = Controls(selected=10_000, moved=True)
    drawn(busy(2), controls=controls)
    assert controls.selected == 1


def test_no_findings_and_no_events_are_said() -> None:
    rows = drawn(told(HEALTHY[0]))
    assert "FINDINGS none" in rows
    assert "EVENTS (none yet)" in rows


def test_a_pause_keeps_the_events_and_says_how_many_wait() -> None:
    model = busy()
    rows = drawn(model, controls=Controls(paused_at=model.count - 10))
    assert "paused, 10 more events" in rows[1]
    assert rows[-2].endswith("new trades/new_29.json")


def test_a_filter_is_said_and_holds_for_findings_and_events() -> None:
    rows = drawn(busy(), controls=Controls(filter="trades/1.json"))
    assert "filter 'trades/1.json'" in rows[1]
    assert "FINDINGS 1" in rows
    assert len([one for one in rows if re.match(r"\d\d:", one)]) == 1


def test_text_of_agents_is_escaped_and_wide_letters_count_twice() -> None:
    model = told(*HEALTHY, finding("MB101", "trades/\x1b[2J界界\u202e.json"))
    text = "\n".join(drawn(model))
    assert "trades/\\x1b[2J界界\\xe2\\x80\\xae.json" in text
    for width in range(10, 60):
        drawn(model, (width, 24))


PAGE: list[Row] = [((f"line {one}", ""),) for one in range(50)]


def test_a_page_scrolls_and_says_what_is_below() -> None:
    controls = Controls()
    controls.read("What would change", PAGE)
    rows = drawn(busy(), controls=controls)
    assert rows[2] == "What would change  (31 more lines below)"
    assert rows[4] == "line 0"
    controls.press("end", 0)
    rows = drawn(busy(), controls=controls)
    assert (rows[2], rows[-2]) == ("What would change", "line 49")
    controls.press("up", 0)
    assert drawn(busy(), controls=controls)[-2] == "line 48"
    assert drawn(busy(), (80, 4), controls)[2] == "line 0"


def test_a_page_is_escaped_before_it_is_broken() -> None:
    controls = Controls()
    controls.read("Finding", [(("message  ", "dim"), ("\x1b[2J" * 20 + "\nend", ""))])
    for width in (20, 40, 80):
        assert "\\x1b[2J" in "".join(drawn(busy(), (width, 24), controls))


def test_questions_stand_at_the_foot() -> None:
    controls = Controls()
    controls.ask("Replace 1 file?\x1b[2J")
    assert drawn(busy(), controls=controls)[-1] == "Replace 1 file?\\x1b[2J [y/N]"
    controls.ask("Replace 402 files, as in line 26 of the journal (2026-11-21T23:10:33.602834Z)?")
    assert drawn(busy(), (60, 24), controls)[-2:] == [
        "Replace 402 files, as in line 26 of the journal",
        "     (2026-11-21T23:10:33.602834Z)? [y/N]",
    ]
    controls.ask_secret("Passphrase")
    controls.drawn = True
    for key in "abc":
        controls.press(key, 0)
    assert drawn(busy(), controls=controls)[-1] == "Passphrase: ***_"
    controls = Controls(mode="filtering", typed="a\u202eb")
    assert drawn(busy(), controls=controls)[-1] == "filter: a\\xe2\\x80\\xaeb_"
    assert drawn(busy(), controls=Controls(message="done"))[-1] == "done"
    assert drawn(busy(), controls=Controls(mode="reading"))[-1].startswith("Escape: back")


def test_trends_have_units_and_gaps() -> None:
    model = busy()
    model.samples = {
        "score": [100.0, None, 50.0],
        "disk_free_bytes": [2048.0, 4096.0, None],
        "write_p95_seconds": [0.004, None, None, None],
        "unknown": [None, None],
    }
    [row] = [one for one in drawn(model, (200, 40)) if one.startswith("changes ")]
    assert "score █ ▅ 50" in row
    assert "disk free ▅█  4.0 KiB" in row
    assert "write p95 █    ?" in row
    assert "unknown" not in row
    [row] = [one for one in drawn(model, (200, 40), plain=True) if one.startswith("changes ")]
    assert "score # = 50" in row


def test_sparklines() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == BARS[0] * 2
    assert sparkline([5, 5]) == BARS[-1] * 2
    assert sparkline([-7, 0, 7]) == BARS[0] + BARS[4] + BARS[-1]
    assert sparkline(range(8), PLAIN_BARS) == PLAIN_BARS


def test_rows_are_fitted_by_cells() -> None:
    assert fitted((("abc", "bad"),), 5) == (("abc", "bad"), ("  ", ""))
    assert fitted((("abc", ""),), 3) == (("abc", ""),)
    assert fitted((("ab", ""), ("cdefghijklmno", "bad")), 12) == (("ab", ""), ("cdefghij..", "bad"))
    assert fitted((("界界", ""),), 3) == (("界 ", ""),)


def test_long_rows_are_broken_between_words() -> None:
    row: Row = (("name  ", "dim"), ("the quick brown fox jumps over", "bad"))
    assert ["".join(text for text, _ in one) for one in broken(row, 26)] == [
        "name  the quick brown fox",
        "     jumps over",
    ]
    assert ["".join(text for text, _ in one) for one in broken((("x" * 60, ""),), 30)] == [
        "x" * 26,
        "    " + "x" * 26,
        "    " + "x" * 8,
    ]
    assert broken((), 10) == [()]
