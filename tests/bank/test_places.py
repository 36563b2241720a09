"""What is known of some names, and below a directory."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from memorybank_cli.bank import places
from memorybank_cli.bank.catalog import Catalog
from memorybank_cli.base.walk import Root

PATHS = ["a.json", "a/1.json", "a/b/2.json", "a/b/c/3.json", "a-x/4.json", "ab/5.json", "z/6.json"]


def test_what_is_known_of_some_names_and_below_a_directory(tmp_path: Path) -> None:
    (tmp_path / ".memorybank").mkdir()
    with closing(Root(tmp_path)) as root, closing(Catalog(root)) as catalog:
        for path in PATHS:
            directory, _, name = path.rpartition("/")
            catalog.db.execute("INSERT INTO files (dir,name,sha) VALUES (?,?,'x')", (directory, name))
        assert catalog.directories() == {"", "a", "a/b", "a/b/c", "a-x", "ab", "z"}
        assert catalog.directories("a") == {"a", "a/b", "a/b/c"}
        assert catalog.directories("a/b/c") == {"a/b/c"}
        assert catalog.directories("nothing") == set()
        many = [f"{number}.json" for number in range(2 * places.AT_ONCE + 1)]
        assert places.were_directories(catalog.db, "", ["a", "ab", "a.json", "z", "y"]) == {"a", "ab", "z"}
        assert places.were_directories(catalog.db, "a", [*many, "b"]) == {"b"}
        catalog.db.execute("UPDATE files SET size=1, mode=2, seq=3, rules='[]', kind=''")
        assert set(places.rows(catalog.db, "a", ["1.json", "2.json", "b"])) == {"1.json"}
        found = places.rows(catalog.db, "z", many)
        assert set(found) == {"6.json"}
        assert found["6.json"] == catalog.row("z/6.json")
