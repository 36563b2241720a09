"""What each key does to what was chosen."""

from __future__ import annotations

from memorybank_cli.cli.live.controls import Controls, Wish


def pressed(controls: Controls, *keys: str, count: int = 7) -> list[Wish]:
    return [controls.press(key, count) for key in keys]


def test_wishes() -> None:
    assert pressed(Controls(), "q", "a", "r", "enter", "redraw", "x") == [
        "quit",
        "accept",
        "roll back",
        "details",
        "redraw",
        "",
    ]


def test_a_filter_is_typed_and_kept_or_dropped() -> None:
    controls = Controls(selected=3)
    pressed(controls, "f", "a", "q", "backspace", "b", "up")
    assert (controls.mode, controls.filter, controls.selected) == ("filtering", "ab", 0)
    pressed(controls, "enter")
    assert (controls.mode, controls.filter) == ("watching", "ab")
    pressed(controls, "f", "c")
    assert controls.filter == "abc"
    pressed(controls, "erase", "z")
    assert controls.filter == "z"
    pressed(controls, "escape")
    assert (controls.mode, controls.filter) == ("watching", "")


def test_pause_and_on() -> None:
    def paused_at(*keys: str) -> int | None:
        controls = Controls()
        pressed(controls, *keys)
        return controls.paused_at

    assert paused_at("p") == 7
    assert paused_at("p", "p") is None
    assert paused_at("p", "escape") is None


def test_a_finding_is_chosen() -> None:
    controls = Controls()
    pressed(controls, "down", "j", "k", "up", "up")
    assert controls.selected == 0
    pressed(controls, "j")
    assert controls.selected == 1


def test_the_chosen_finding_stays_the_chosen_one() -> None:
    controls = Controls()
    a, b, c = ({"fingerprint": one} for one in "abc")
    assert controls.place([b, c]) == 0
    assert controls.place([a, b, c]) == 0  # nobody chose yet: the worst one
    pressed(controls, "down")
    assert controls.place([b, c]) == 1
    assert controls.place([c, b]) == 0
    pressed(controls, "down", "down")
    assert controls.place([a, b, c]) == 2
    assert controls.place([a, b]) == 1
    assert controls.chosen == "b"
    assert controls.place([]) == 0
    assert controls.chosen == ""


def test_help_is_a_page_that_scrolls() -> None:
    controls = Controls()
    pressed(controls, "?")
    assert (controls.mode, controls.title) == ("reading", "Keys")
    pressed(controls, "down", "page down", " ")
    assert controls.offset == 21
    pressed(controls, "up", "k", "page up")
    assert controls.offset == 9
    pressed(controls, "home")
    assert (controls.mode, controls.offset) == ("reading", 0)
    assert pressed(controls, "q") == [""]
    assert (controls.mode, controls.page) == ("watching", [])


def test_only_yes_is_yes() -> None:
    for key, answer in (("y", True), ("Y", True), ("n", False), ("enter", False), ("escape", False), ("q", False)):
        controls = Controls()
        controls.read("What would change", [])
        controls.ask("Replace?")
        assert pressed(controls, "y") == [""]  # it was pressed before the question could be seen
        controls.drawn = True
        assert pressed(controls, "down", key) == ["", "answered"]
        assert (controls.answer, controls.mode, controls.question) == (answer, "watching", "")


def test_a_passphrase_is_typed() -> None:
    controls = Controls()
    controls.ask_secret("Passphrase")
    controls.drawn = True
    assert pressed(controls, "q", "y", "up", "enter") == ["", "", "", "answered"]
    assert (controls.answer, controls.typed) == ("qy", "")
    controls.ask_secret("Passphrase")
    controls.drawn = True
    assert pressed(controls, "x", "escape") == ["", "answered"]
    assert controls.answer == ""


def test_a_message_stands_until_the_next_key() -> None:
    controls = Controls(message="done")
    pressed(controls, "x")
    assert controls.message == ""
