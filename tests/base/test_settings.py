from __future__ import annotations

import contextlib
from collections.abc import Collection
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.settings import BY_NAME, SETTINGS, Settings, Value, convert, flatten, known

NAMES = [setting.name for setting in SETTINGS]
SAMPLE: dict[type, Any] = {str: "text", tuple: ["a", "b"], int: 7, float: 7.5}
LAYERS = ("option", "environment", "bank", "user")


def sample(name: str) -> Any:
    return SAMPLE[type(BY_NAME[name].default)]


def as_text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("trusted", [True, False])
def test_the_first_layer_that_may_say_it_decides(name: str, trusted: bool) -> None:
    for count in range(len(LAYERS) + 1):
        for given_in in combinations(LAYERS, count):
            assert_the_first_decides(name, trusted, given_in)


def assert_the_first_decides(name: str, trusted: bool, given_in: Collection[str]) -> None:
    value, setting = sample(name), BY_NAME[name]
    here = {layer: {name: value} if layer in given_in else {} for layer in LAYERS}
    environ = {setting.variable: as_text(value)} if "environment" in given_in else {}
    settings = Settings(here["option"], here["bank"], here["user"], trusted, environ)
    allowed = setting.scope == "bank" or (setting.scope == "loosens" and trusted)
    counts = [layer for layer in LAYERS if layer in given_in and (layer != "bank" or allowed)]
    found = settings.look_up(name)
    assert found.origin == (counts[0] if counts else "default")
    converted = tuple(value) if isinstance(value, list) else value
    if counts and counts[0] != "option":
        assert found.value == converted
    assert settings[name] == found.value
    assert settings.inert() == ([name] if "bank" in given_in and not allowed else [])


def test_an_option_that_was_not_given_does_not_count() -> None:
    assert Settings({"actor": None}, environ={}).look_up("actor") == Value("", "default")
    assert Settings({"lock_timeout": 0.0}, environ={}).look_up("lock_timeout") == Value(0.0, "option")


def test_what_agents_wrote_wrong_does_not_count() -> None:
    bank = {"lock_timeout": "soon", "settle_ms": 10**400}
    settings = Settings(bank=bank, user={"lock_timeout": 3}, environ={})
    assert settings.look_up("lock_timeout") == Value(3.0, "user")
    assert settings.look_up("settle_ms") == Value(150, "default")
    for own in (Settings(user=bank, environ={}), Settings(environ={"MEMORYBANK_LOCK_TIMEOUT": "soon"})):
        with pytest.raises(UsageError, match="'lock_timeout' must be a number"):
            own.look_up("lock_timeout")


def test_agents_cannot_name_who_they_are_or_where_snapshots_go() -> None:
    bank = {"actor": "root", "repository": "/tmp/x", "trusted_banks": ["/"], "exclude": ["*"], "unknown": 1}
    settings = Settings(bank=bank, trusted=True, environ={})
    assert (settings["actor"], settings["repository"], settings["trusted_banks"]) == ("", "", ())
    assert settings["exclude"] == ("*",)
    assert settings.inert() == ["actor", "repository", "trusted_banks", "unknown"]


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYBANK_LIMITS_TRADES_MIB", "3")
    assert Settings().look_up("limits.trades_mib") == Value(3, "environment")


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no setting 'lock_timout'") as caught:
        known("lock_timout")
    assert caught.value.hint == "did you mean lock_timeout?"
    with pytest.raises(UsageError) as caught:
        Settings(environ={})["zzz"]
    assert "config show" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("exclude", "a,,b", ("a", "b")),
        ("exclude", ["a", "", "b"], ("a", "b")),
        ("exclude", "", ()),
        ("lock_timeout", "0", 0.0),
        ("lock_timeout", 5, 5.0),
        ("settle_ms", "150", 150),
        ("actor", "me", "me"),
    ],
)
def test_values_of_the_right_type(name: str, value: Any, result: Any) -> None:
    found = convert(BY_NAME[name], value)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("exclude", 7, "a list of words"),
        ("exclude", ["a", 7], "a list of words"),
        ("exclude", {"a": 1}, "a list of words"),
        ("actor", 7, "a text"),
        ("actor", None, "a text"),
        ("settle_ms", "x", "a whole number"),
        ("settle_ms", -1, "a whole number"),
        ("settle_ms", True, "a whole number"),
        ("settle_ms", 2.7, "a whole number"),
        ("settle_ms", None, "a whole number"),
        ("lock_timeout", [1], "a number"),
        ("lock_timeout", "-0.5", "a number"),
        ("lock_timeout", "nan", "a number"),
        ("lock_timeout", "inf", "a number"),
        ("lock_timeout", 10**400, "a number"),
    ],
)
def test_values_of_the_wrong_type(name: str, value: Any, kind: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}' must be {kind}"):
        convert(BY_NAME[name], value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(NAMES), JSON)
def test_any_json_is_a_value_or_refused(name: str, value: Any) -> None:
    setting = BY_NAME[name]
    with contextlib.suppress(UsageError):
        assert type(convert(setting, value)) is type(setting.default)


def test_nested_documents_become_dotted_names() -> None:
    assert flatten({"limits": {"a": 1, "b": {"c": 2}}, "d": [3], "e": {}}) == {"limits.a": 1, "limits.b.c": 2, "d": [3]}
