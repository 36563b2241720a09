"""The README that a new bank gets."""

from __future__ import annotations

from memorybank_cli.bank import layout, readme


def test_it_names_every_section_and_has_its_marks() -> None:
    text = readme.render().decode()
    assert text.startswith("# Memory bank\n")
    assert text.index(readme.BEGIN) < text.index(readme.END)
    for section in layout.SECTIONS:
        assert f"`{section}/`" in text
    assert text.endswith(f"{readme.END}\n")
    assert readme.render() == readme.render()
