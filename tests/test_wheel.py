"""The wheel: built, installed into a bare virtual environment, and used there."""

from __future__ import annotations

import json
import os
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


def test_the_wheel_holds_package_and_schemas_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    schemas = {path.name for path in (PROJECT / "schemas").glob("*.json")}
    assert schemas
    assert schemas == {Path(name).name for name in names if name.startswith("memorybank_cli/schemas/")}
    assert "memorybank_cli/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"memorybank_cli"}


def test_init_and_validate_in_a_bare_environment(wheel: Path, tmp_path: Path) -> None:
    """The dependencies come from this environment's own directory; of the project only the wheel is there."""
    place = tmp_path / "venv"
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
