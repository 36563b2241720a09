"""No test makes a link to what is the machine's own: run as root, one that wrote through it would harm the machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.decoys import CONTENT, assert_untouched, outside, passwd

_OUT = re.compile(r"""symlink(?:_to)?\(\s*f?["']/""")


def test_no_link_leads_to_a_place_of_the_machine() -> None:
    files = sorted(Path(__file__).parent.rglob("*.py"))
    assert len(files) > 100
    assert [one.name for one in files if _OUT.search(one.read_text())] == []


def test_a_decoy_is_in_the_tests_own_directory(tmp_path: Path) -> None:
    assert outside(tmp_path).parent == tmp_path
    assert passwd(tmp_path / "a/b/c").read_bytes() == CONTENT
    (outside(tmp_path) / "new").write_bytes(b"")
    with pytest.raises(AssertionError):
        assert_untouched(tmp_path)
    (outside(tmp_path) / "new").unlink()
