from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.misfits import Misfit
from memorybank_cli.bank.schemas import REPLACEABLE, Registry, read_schema
from memorybank_cli.bank.validators import build_compiled, build_reference
from memorybank_cli.base.errors import NotFound, UsageError
from memorybank_cli.base.exact_json import loads
from memorybank_cli.base.settings import SETTINGS

FIXTURES = Path(__file__).parent.parent / "schemas"
PROJECT = Path(__file__).parent.parent.parent
LISTONIAN = PROJECT.parent / "shared" / "data" / "listonian"
KINDS = sorted(path.stem for path in FIXTURES.glob("*.json"))
REGISTRY = Registry()


def fixtures(kind: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((FIXTURES / f"{kind}.json").read_text())
    return table


GOOD = [(kind, document) for kind in KINDS for document in fixtures(kind)["good"]]
BAD = [(kind, bad) for kind in KINDS for bad in fixtures(kind)["bad"]]


def test_every_kind_has_fixtures() -> None:
    assert REGISTRY.names() == KINDS


@pytest.mark.parametrize(("kind", "document"), GOOD)
def test_good_documents_match(kind: str, document: Any) -> None:
    assert REGISTRY.matches(kind, document)
    assert REGISTRY.misfits(kind, document) == []


@pytest.mark.parametrize(("kind", "bad"), BAD)
def test_bad_documents_do_not_and_the_first_misfit_names_the_place(kind: str, bad: dict[str, Any]) -> None:
    assert not REGISTRY.matches(kind, bad["document"])
    first = REGISTRY.misfits(kind, bad["document"])[0]
    assert first.pointer == bad["at"], first
    assert first.message.isprintable()


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_valid_and_closed(kind: str) -> None:
    document = REGISTRY.document(kind)
    assert document["$id"] == f"urn:memorybank:schema:{kind}"
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["title"]
    assert document["description"]
    assert REGISTRY.check(document) == []
    build_compiled(document, REGISTRY._look_up)
    build_reference(document, REGISTRY._look_up)


def test_the_schema_of_settings_follows_the_table_of_settings() -> None:
    known = REGISTRY.document("memorybank")["properties"]
    assert {setting.name for setting in SETTINGS} <= set(known)
    assert set(known["limits"]["properties"]) == {s.name[7:] for s in SETTINGS if s.name.startswith("limits.")}
    for setting in SETTINGS:
        default = list(setting.default) if isinstance(setting.default, tuple) else setting.default
        assert REGISTRY.matches("memorybank", {setting.name: default}), setting.name
        assert not REGISTRY.matches("memorybank", {setting.name: {"no": "value"}}), setting.name


def read(path: Path) -> Any:
    return loads(path.read_bytes().rstrip(b"\0"))


def test_the_public_bank_matches() -> None:
    if not LISTONIAN.is_dir():
        pytest.skip("the public bank is not here; the fixtures hold documents of the same shapes")
    trades = [read(path) for path in sorted((LISTONIAN / "trades").glob("trade_*.json"))]
    assert len(trades) == 450
    assert all(REGISTRY.matches("trade", trade) for trade in trades)
    listed = read(LISTONIAN / "trades" / "recent_trades.json")
    assert len(listed["trades"]) == 27
    assert REGISTRY.matches("trade_list", listed)
    assert all(REGISTRY.matches("trade", trade) for trade in listed["trades"])
    for section in ("metrics", "state"):
        for path in (LISTONIAN / section).glob("*.json"):
            assert REGISTRY.misfits(section, read(path)) == [], path


def test_integers_keep_their_value() -> None:
    registry = Registry({"wei": {"properties": {"value": {"type": "integer", "minimum": 0, "maximum": 10**20}}}})
    assert registry.matches("wei", {"value": 10**20})
    assert not registry.matches("wei", {"value": 10**20 + 1})
    assert not registry.matches("wei", {"value": -(10**30)})
    assert registry.matches("trade", {"timestamp": 1, "amount": 10**4299})
    assert registry.misfits("wei", {"value": 10**1000}) == [
        Misfit(
            "/value",
            "expected at most 100000000000000000000, found an integer of about 1001 digits",
            "at most 100000000000000000000",
            "an integer of about 1001 digits",
        )
    ]


def test_what_json_cannot_hold_matches_nothing() -> None:
    assert not REGISTRY.matches("trade", {"timestamp": "\ud800"})
    assert not REGISTRY.matches("trade", {1: 2})
    assert REGISTRY.misfits("trade", {1: 2})[0].message.startswith("not a JSON value")


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        REGISTRY.document("trades")
    assert "trade" in caught.value.hint
    with pytest.raises(NotFound):
        REGISTRY.matches("nothing-like-it", {})
    with pytest.raises(NotFound):
        REGISTRY.misfits("../trade", {})


@pytest.mark.parametrize(
    "reference", ["http://127.0.0.1:9/x.json", "https://127.0.0.1:9/x", "file:///etc/passwd", "other.json", "urn:x:y"]
)
def test_references_leave_the_registry_never(reference: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    document = {"properties": {"a": {"$ref": reference}}}
    registry = Registry({"mine": document})
    with pytest.raises(UsageError, match=r"schema 'mine' cannot be used.*not in the registry") as caught:
        registry.matches("mine", {"a": 1})
    assert caught.value.hint
    with pytest.raises(UsageError):
        registry.misfits("mine", {})
    assert registry.check(document) != []
    assert registry.matches("trade", {"timestamp": 1})


def test_references_within_the_registry_resolve() -> None:
    extra: dict[str, dict[str, Any]] = {
        "desk": {
            "$id": "https://example.org/desk.json",
            "properties": {"last": {"$ref": "urn:memorybank:schema:trade"}},
        },
        "floor": {"type": "array", "items": {"$ref": "https://example.org/desk.json"}},
        "house": {"additionalProperties": {"$ref": "urn:memorybank:schema:floor"}},
    }
    registry = Registry(extra)
    assert registry.unusable() == {}
    assert registry.matches("house", {"a": [{"last": {"timestamp": 1}}]})
    assert registry.misfits("house", {"a": [{}, {"last": {}}]})[0].pointer == "/a/1/last"


def test_schemas_may_refer_to_each_other_in_a_circle() -> None:
    registry = Registry(
        {
            "tree": {"type": "object", "properties": {"leaves": {"$ref": "urn:memorybank:schema:leaves"}}},
            "leaves": {"type": "array", "items": {"$ref": "urn:memorybank:schema:tree"}},
        }
    )
    assert registry.matches("tree", {"leaves": [{"leaves": []}]})
    assert not registry.matches("tree", {"leaves": [{"leaves": [1]}]})


def test_a_bank_may_replace_what_agents_write_and_nothing_else() -> None:
    never: dict[str, Any] = {"not": {}}
    registry = Registry({"trade": never, "account": {}, "bank": {}, "mine": {}})
    assert registry.ignored == ("account", "bank")
    assert not registry.matches("trade", {"timestamp": 1})
    assert not registry.matches("trade_list", [{"timestamp": 1}])
    assert not registry.matches("account", {})
    assert set(KINDS) | {"mine"} == set(registry.names())
    assert set(KINDS) >= REPLACEABLE


@pytest.mark.parametrize("kind", sorted(REPLACEABLE))
def test_replacing_one_kind_leaves_the_others_usable(kind: str) -> None:
    registry = Registry({kind: {"type": ["object", "array"]}})
    others = [(name, document) for name, document in GOOD if name != kind]
    assert all(registry.matches(name, document) for name, document in others)


def test_an_unusable_schema_leaves_the_built_in_one_in_force() -> None:
    registry = Registry({"trade": {"type": "nonsense"}, "mine": {"pattern": "("}})
    assert registry.matches("trade", {"timestamp": 1})
    assert not registry.matches("trade", {})
    assert registry.matches("trade_list", [{"timestamp": 1}])
    assert {name: flaw.pointer for name, flaw in registry.unusable().items()} == {"mine": "/pattern", "trade": "/type"}
    with pytest.raises(UsageError, match="mine"):
        registry.matches("mine", "x")


BOMB = {
    "$ref": "#/$defs/a0",
    "$defs": {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)} | {"a40": {"type": "string"}},
}
DEEP: dict[str, Any] = {"$ref": "#/$defs/a0", "$defs": {f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(5000)}}


@pytest.mark.parametrize(
    ("document", "pointer", "words"),
    [
        ([], "", "is an object"),
        ({"type": "nonsense"}, "/type", "'array', 'boolean'"),
        ({"properties": {"a": {"minimum": "1"}}}, "/properties/a/minimum", "expected number"),
        ({"$schema": "urn:other"}, "/$schema", "draft"),
        ({"$schema": 7}, "/$schema", "draft"),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "type": "x"}, "/type", "expected"),
        ({"pattern": "("}, "/pattern", "regex"),
        ({"items": {"pattern": "(?=a)b"}}, "/items/pattern", "look-around"),
        ({"pattern": r"(a)\1"}, "/pattern", "back-references"),
        ({"pattern": "((a{100}){100}){100}"}, "/pattern", "not supported"),
        ({"$ref": "#/$defs/none"}, "", "/$defs/none"),
        (BOMB, "", "20,000 parts"),
        (DEEP | {"$defs": DEEP["$defs"] | {"a5000": {}}}, "", "too deeply"),
    ],
)
def test_check_finds_what_is_wrong_with_a_schema(document: Any, pointer: str, words: str) -> None:
    found = REGISTRY.check(document)
    assert found[0].pointer == pointer, found
    assert words in found[0].message


def test_older_drafts_are_understood() -> None:
    draft: dict[str, Any] = {"$schema": "http://json-schema.org/draft-07/schema#"}
    draft |= {"items": [{"type": "string"}], "additionalItems": False}
    registry = Registry({"old": draft})
    assert registry.check(draft) == []
    assert registry.matches("old", ["a"])
    assert not registry.matches("old", ["a", 1])


def test_patterns_take_linear_time() -> None:
    registry = Registry({"slow": {"pattern": "^(a+)+$"}})
    assert not registry.matches("slow", "a" * 10_000 + "b")


def test_a_schema_without_end_is_an_error_for_people() -> None:
    pair = {"allOf": [{"$ref": "#/$defs/x"}], "$defs": {"x": {"$ref": "#"}}}
    registry = Registry({"loop": {"$ref": "#"}, "pair": pair})
    for name in ("loop", "pair"):
        try:
            registry.matches(name, {})
        except UsageError as error:
            assert name in error.message  # noqa: PT017 - both ends are good: an answer, or words


def test_misfits_are_limited_and_the_outermost_come_first() -> None:
    trades = [{"timestamp": 1, "profit": str(index)} for index in range(5000)]
    assert len(REGISTRY.misfits("trade_list", trades)) == 20
    assert len(REGISTRY.misfits("trade_list", trades, limit=3)) == 3
    found = REGISTRY.misfits("status", {"memory_bank_status": {"alerts": [1], "health_status": "x"}})
    depths = [one.pointer.count("/") for one in found]
    assert depths == sorted(depths)
    assert len(found) == 4


def test_the_digest_changes_with_any_schema() -> None:
    extras: list[dict[str, dict[str, Any]]] = [
        {},
        {"a": {"type": "string"}},
        {"a": {"type": "number"}},
        {"b": {"type": "string"}},
    ]
    digests = [Registry(extra).digest for extra in extras]
    assert digests[0] == Registry().digest
    assert {len(digest) for digest in digests} == {16}
    assert len(set(digests)) == 4


def test_read_schema() -> None:
    assert read_schema(b'{"type": "string"}') == {"type": "string"}
    for data, words in (
        (b"{", "not a JSON document"),
        (b"[]", "expected an object"),
        (b'{"type": "x"}', "mine.json.*cannot be used at '/type'"),
        (b'{"$ref": "file:///etc/passwd"}', "mine.json.*not in the registry"),
    ):
        with pytest.raises(UsageError, match=words):
            read_schema(data, "mine.json")
    with pytest.raises(UsageError):
        read_schema(b'{"$ref": "urn:memorybank:schema:mine"}')
    assert read_schema(b'{"$ref": "urn:memorybank:schema:mine"}', registry=Registry({"mine": {}}))


def run(program: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_loads_no_heavy_package() -> None:
    heavy = run(
        "import sys, memorybank_cli.bank.schemas as s; r = s.Registry(); r.names(); r.digest\n"
        "print([m for m in ('jsonschema', 'jsonschema_rs', 'orjson', 'referencing') if m in sys.modules])"
    )
    assert heavy == "[]\n"


def test_without_jsonschema_rs_the_verdicts_are_the_same() -> None:
    program = f"""
import sys, json, glob, os
sys.modules["jsonschema_rs"] = None
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.errors import UsageError
registry, wrong, seen = Registry(), [], 0
for path in sorted(glob.glob({str(FIXTURES)!r} + "/*.json")):
    kind = os.path.basename(path)[:-5]
    table = json.load(open(path, encoding="utf-8"))
    seen += len(table["good"]) + len(table["bad"])
    wrong += [(kind, one) for one in table["good"] if not registry.matches(kind, one)]
    wrong += [(kind, one) for one in table["bad"] if registry.matches(kind, one["document"])
              or registry.misfits(kind, one["document"])[0].pointer != one["at"]]
for broken in ({{"$ref": "http://127.0.0.1:9/x"}}, {{"$ref": "file:///etc/passwd"}}, {{"pattern": "(?=a)b"}},
               {{"pattern": "^(a+)+$"}}, {{"type": "x"}}, {{"$ref": "#/$defs/none"}}):
    try:
        Registry({{"mine": broken}}).matches("mine", "a" * 50 + "b")
        wrong.append(broken)
    except UsageError as error:
        assert "mine" in error.message
try:
    Registry({{"loop": {{"$ref": "#"}}}}).matches("loop", 1)
    wrong.append("loop")
except UsageError as error:
    assert "without end" in error.message
assert "jsonschema" in sys.modules
print(seen, wrong)
"""
    assert run(program) == f"{len(GOOD) + len(BAD)} []\n"
