"""The wheel: built, installed into a bare virtual environment, and used there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this project, built by the backend that is installed here."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(PROJECT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    [built] = target.glob("memorybank_cli-*.whl")
    return built


def shared() -> dict[str, Path]:
    """Where man, the shells and readers look below the prefix, by the file that is to be there."""
    completions = PROJECT / "scripts" / "completions"
    found = {
        "share/bash-completion/completions/memorybank": completions / "memorybank.bash",
        "share/zsh/site-functions/_memorybank": completions / "_memorybank",
        "share/fish/vendor_completions.d/memorybank.fish": completions / "memorybank.fish",
    }
    found |= {f"share/man/{path.parent.name}/{path.name}": path for path in (PROJECT / "man").glob("man*/*")}
    found |= {f"share/doc/memorybank/reference/{path.name}": path for path in (PROJECT / "docs/reference").iterdir()}
    return found


def test_the_wheel_holds_package_schemas_and_shared_files_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    schemas = {path.name for path in (PROJECT / "schemas").glob("*.json")}
    assert schemas
    assert schemas == {Path(name).name for name in names if name.startswith("memorybank_cli/schemas/")}
    assert "memorybank_cli/py.typed" in names
    [data] = {name.split("/")[0] for name in names if ".data/" in name}
    assert {f"{data}/data/{name}" for name in shared()} == {name for name in names if name.startswith(f"{data}/")}
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"memorybank_cli", data}


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel in it.

    The dependencies come from this environment's own directory; of the project only the wheel is there.
    """
    place = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(place, with_pip=False)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(place / "bin" / "python"),
            "install",
            "--quiet",
            "--no-deps",
            str(wheel),
        ],
        check=True,
        timeout=300,
    )
    [packages] = (place / "lib").glob("python*/site-packages")
    # A path file would run the path files of this environment too, an editable install of the project among them.
    (packages / "borrowed.pth").write_text("\n".join(borrowed()) + "\n")
    return place


def test_man_pages_completions_and_reference_are_installed(place: Path) -> None:
    for name, source in shared().items():
        assert (place / name).read_text() == source.read_text(), name


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed: the installed pages are not looked up")
def test_man_finds_the_installed_pages(place: Path) -> None:
    environment = {"PATH": f"{place}/bin:/usr/bin:/bin", "MANPATH": f"{place}/share/man", "MANPAGER": "cat"}
    for page in (["memorybank"], ["memorybank-snapshot-verify"], ["5", "memorybank-bank"]):
        done = subprocess.run(["man", *page], env=environment, capture_output=True, text=True, check=True, timeout=60)
        assert page[-1].upper() in done.stdout


def test_the_installed_completion_completes(place: Path, tmp_path: Path) -> None:
    script = (
        f"source {place}/share/bash-completion/completions/memorybank; "
        'COMP_WORDS=(memorybank sna); COMP_CWORD=1; _memorybank memorybank sna memorybank; printf %s "${COMPREPLY[@]}"'
    )
    environment = {"PATH": f"{place}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert done.stdout == b"snapshot"


def test_init_and_validate_in_a_bare_environment(place: Path, tmp_path: Path) -> None:
    trades = tmp_path / "agents" / "trades"
    trades.mkdir(parents=True)
    (trades / "bad.json").write_text('{"id": 1}\0\0\0')
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "MEMORYBANK_STATE_HOME": str(tmp_path / "home"),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(place / "bin" / "memorybank"), *arguments]
        return subprocess.run(
            command, cwd=tmp_path / "agents", env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    made = run("init", "--json")
    assert made.returncode == 0, made.stderr
    checked = run("validate", "--json")
    assert checked.returncode == 1, checked.stderr
    rules = {finding["rule"] for finding in json.loads(checked.stdout)["findings"]}
    assert "MB102" in rules
    where = [str(place / "bin" / "python"), "-c", "import memorybank_cli; print(memorybank_cli.__file__)"]
    assert subprocess.check_output(where, cwd=tmp_path, env=environment, text=True).startswith(str(place))


def borrowed() -> list[str]:
    """The directories from which this environment imports its packages."""
    return [path for path in sys.path if path.endswith("site-packages") and os.path.isdir(path)]
