"""The house: who may import whom, where circles and writes are forbidden, and how large things may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "memorybank_cli"
SOURCE = Path(__file__).resolve().parent.parent / PACKAGE
FLOORS = {
    1: {"base"},
    2: {"bank"},
    3: {
        "accounts",
        "agents",
        "alerts",
        "federation",
        "health",
        "integrity",
        "meaning",
        "memory",
        "migrations",
        "predictive",
        "security",
        "snapshots",
        "stores",
    },
    4: {"operations"},
    5: {"cli", "mcp", "server"},
    6: {"main", "__main__", "__init__"},
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}
# The version stands in the package itself and costs nothing to import.
ROOT_NAMES = {"__version__"}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py"))


def dotted(path: Path) -> str:
    parts = (PACKAGE, *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def subject(module: str) -> str:
    """`bank` of `memorybank_cli.bank.journal`, `main` of `memorybank_cli.main`, `__init__` of the package."""
    return [*module.split("."), "__init__"][1]


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Every module of ours that a file imports, deferred imports and those for types included."""
    return tuple(_imports(ast.parse(path.read_text())))


def _imports(tree: ast.Module) -> Iterator[str]:
    known = {dotted(one) for one in modules()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == PACKAGE)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module and node.module.split(".")[0] == PACKAGE:
                for name in node.names:
                    inner = f"{node.module}.{name.name}"
                    if node.module == PACKAGE and name.name in ROOT_NAMES:
                        continue
                    yield inner if inner in known else node.module


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_lead_down(path: Path) -> None:
    here = subject(dotted(path))
    for found in imports(path):
        there = subject(found)
        assert FLOOR_OF[there] <= FLOOR_OF[here], f"{dotted(path)} imports {found} from a floor above"
        if FLOOR_OF[there] == FLOOR_OF[here] == 3:
            assert there == here, f"{dotted(path)} imports its sister {found}"


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_a_name_is_imported_from_the_module_that_defines_it(path: Path) -> None:
    packages = {dotted(one) for one in modules() if one.name == "__init__.py"}
    assert not packages.intersection(imports(path)), f"{dotted(path)} imports from a package instead of a module"


def test_there_are_no_circles() -> None:
    # prepare() raises CycleError with the modules of the circle.
    TopologicalSorter({dotted(path): imports(path) for path in modules()}).prepare()


def test_every_package_stands_on_a_floor() -> None:
    assert {subject(dotted(path)) for path in modules()} <= FLOOR_OF.keys()


CHANGING_CALLS = {
    "os": {
        "chmod", "chown", "copy_file_range", "fchmod", "fchown", "fdatasync", "fsync", "ftruncate", "lchown", "link",
        "makedirs", "mkdir", "mkfifo", "mknod", "posix_fallocate", "pwrite", "pwritev", "remove", "removedirs",
        "removexattr", "rename", "renames", "replace", "rmdir", "sendfile", "setxattr", "symlink", "truncate", "unlink",
        "utime", "write", "writev",
    },
    "shutil": {
        "chown", "copy", "copy2", "copyfile", "copymode", "copystat", "copytree", "make_archive", "move", "rmtree",
        "unpack_archive",
    },
    "tempfile": {"NamedTemporaryFile", "TemporaryDirectory", "TemporaryFile", "mkdtemp", "mkstemp"},
}  # fmt: skip
CHANGING_METHODS = {"hardlink_to", "symlink_to", "touch", "write_bytes", "write_text"}
WRITING_FLAGS = {"O_APPEND", "O_CREAT", "O_RDWR", "O_TRUNC", "O_WRONLY"}
EXEMPT = {
    ("memorybank_cli.main", "O_WRONLY"),  # a pipe whose reader went away is replaced by the null device
    ("memorybank_cli.main", "open w"),  # and so is a stream that was closed from the start
    ("memorybank_cli.base.workers", "open wb"),  # a pipe of its own
    ("memorybank_cli.integrity.hints", "os.write"),  # into a pipe of its own
}


def changes(tree: ast.Module) -> Iterator[str]:
    """Calls in a module that change something on disk."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in CHANGING_CALLS.get(node.value.id, ()):
                yield f"{node.value.id}.{node.attr}"
            if node.value.id == "os" and node.attr in WRITING_FLAGS:
                yield node.attr
        if isinstance(node, ast.ImportFrom) and node.module in CHANGING_CALLS:
            yield from (name.name for name in node.names if name.name in CHANGING_CALLS[node.module])
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING_METHODS:
                yield node.func.attr
            if isinstance(node.func, ast.Name) and node.func.id == "open":
                yield from (f"open {mode}" for mode in _modes(node) if set(mode) & set("wax+"))


def _modes(node: ast.Call) -> Iterator[str]:
    given = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "mode")]
    yield from (mode.value for mode in given if isinstance(mode, ast.Constant) and isinstance(mode.value, str))


@pytest.mark.parametrize("path", [path for path in modules() if dotted(path) != f"{PACKAGE}.base.files"], ids=dotted)
def test_only_base_files_changes_anything_on_disk(path: Path) -> None:
    found = [what for what in changes(ast.parse(path.read_text())) if (dotted(path), what) not in EXEMPT]
    assert not found, f"{dotted(path)} changes the disk itself: {found}"


@pytest.mark.parametrize(
    "line",
    [
        "os.rename(a, b)",
        "from os import unlink",
        "open(a, 'w')",
        "open(a, mode='r+b')",
        "path.write_text(x)",
        "os.open(a, os.O_RDWR)",
        "shutil.rmtree(a)",
    ],
)
def test_the_look_for_changes_finds_them(line: str) -> None:
    assert list(changes(ast.parse(line)))


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_sizes_and_first_sentences(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module says in its first sentence what it knows"
    assert text.count("\n") <= 400, "over 400 lines is a question"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is longer than 60 lines"
