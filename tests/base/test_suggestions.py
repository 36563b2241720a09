from __future__ import annotations

from memorybank_cli.base.suggestions import COMPARED, did_you_mean


def test_the_nearest_names_are_named() -> None:
    assert did_you_mean("lst", ["list", "show"]) == "did you mean list?"
    assert did_you_mean("alpah", ["beta", "alpha", "alphabet"]) == "did you mean alpha or alphabet?"


def test_case_is_put_aside() -> None:
    assert did_you_mean("mb10", ["MB101", "MB999"]) == "did you mean MB101?"
    assert did_you_mean("ALPHA", ["alpha"]) == "did you mean alpha?"


def test_nothing_near_gives_the_other_hint() -> None:
    assert did_you_mean("zzz", ["list"], "see the list") == "see the list"
    assert did_you_mean("", ["list"]) == ""


def test_what_stands_before_is_named_too() -> None:
    assert did_you_mean("stauts", ["status"], before="memorybank ") == "did you mean memorybank status?"


def test_names_of_unknown_origin_are_escaped() -> None:
    assert did_you_mean("ab\x1bc", ["ab\x1bcd"]) == "did you mean ab\\x1bcd?"


def test_a_directory_without_end_is_not_compared_whole() -> None:
    def names() -> object:
        for number in range(COMPARED):
            yield f"x{number}"
        raise AssertionError("it went on")

    assert did_you_mean("zzzz", names(), "none") == "none"  # type: ignore[arg-type]
