"""Where the key of an encrypted repository comes from, and that no secret gets out on the way."""

# Passphrases of tests are no secrets:
# ruff: noqa: S105, S106

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import MemorybankError, OperationFailed, Refused, UsageError, WrongKey
from memorybank_cli.base.records import Progress
from memorybank_cli.operations import secret_reading
from memorybank_cli.operations.key_sources import named, new_secret
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.repositories import Snapshots, open_repository, repository_for_backup
from memorybank_cli.operations.secret_reading import WAYS, Source, read
from memorybank_cli.snapshots.keys import Secret
from memorybank_cli.snapshots.repository import Repository
from tests.conftest import MakeBank, Run
from tests.operations.owners import OWNER, as_root, own_ids_again, public_python
from tests.snapshots import making

PASSPHRASE = "open sesame"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases cost little here; what they really cost is tested with the keys."""
    monkeypatch.setattr("memorybank_cli.snapshots.keys.SCRYPT_N", 16)


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


Open = Callable[..., Bank]


@pytest.fixture
def open_(make_bank: MakeBank) -> Iterator[Open]:
    """Opens one bank, each time with its own options."""
    path = make_bank(0)
    opened: list[Bank] = []

    def bank(**options: Any) -> Bank:
        opened.append(open_bank(Context(bank=str(path), progress=Notes(), **options)))
        return opened[-1]

    yield bank
    for one in opened:
        one.close()


def notes(bank: Bank) -> list[str]:
    assert isinstance(bank.context.progress, Notes)
    return bank.context.progress.notes


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    return written(tmp_path / "password", f"{PASSPHRASE}\n".encode())


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def typing(*answers: str) -> Callable[[str], str]:
    left = list(answers)
    return lambda _question: left.pop(0)


def command(script: str) -> str:
    return f'{sys.executable} -c "{script}"'


@pytest.fixture
def repo(open_: Open, tmp_path: Path, password_file: Path) -> str:
    """An encrypted repository."""
    place = str(tmp_path / "repo")
    repository_for_backup(open_(password_file=str(password_file)), place, encrypt=True).close()
    return place


class TestWhichOne:
    def test_options_before_environment_before_settings(
        self, open_: Open, monkeypatch: pytest.MonkeyPatch, home: Path
    ) -> None:
        assert named(open_()) is None
        home.mkdir(exist_ok=True)
        (home / "config.json").write_text(json.dumps({"key_file": "mine"}))
        assert named(open_()) == Source("key_file", "mine")
        monkeypatch.setenv("MEMORYBANK_PASSWORD_FILE", "environment")
        assert named(open_()) == Source("password_file", "environment")
        assert named(open_(password_command="option")) == Source("password_command", "option")

    def test_two_at_once_are_refused(self, open_: Open) -> None:
        with pytest.raises(UsageError, match="password-file and key-file"):
            named(open_(password_file="a", key_file="b"))

    def test_an_empty_option_is_not_no_key(self, open_: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in WAYS:
            with pytest.raises(UsageError, match="is empty"):
                repository_for_backup(open_(**{name: ""}), str(tmp_path / "new"))
        assert not (tmp_path / "new").exists()
        monkeypatch.setenv("MEMORYBANK_KEY_FILE", "")
        assert named(open_()) is None

    def test_the_banks_own_config_names_no_key(self, make_bank: MakeBank, tmp_path: Path) -> None:
        path = make_bank(0)
        config = path / "config" / "memorybank.json"
        config.parent.mkdir(exist_ok=True)
        marker = tmp_path / "was-run"
        values = {"password_command": f"touch {marker}", "key_file": "/dev/null", "password_file": "/dev/null"}
        config.write_text(json.dumps(values))
        bank = open_bank(Context(bank=str(path)))
        try:
            assert named(bank) is None
            assert set(bank.settings.inert()) == set(values)
        finally:
            bank.close()
        assert not marker.exists()


class TestReading:
    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_a_password_file_without_what_editors_add(self, open_: Open, tmp_path: Path, mark: str, end: str) -> None:
        file = written(tmp_path / "file", (mark + PASSPHRASE + end).encode())
        bank = open_()
        assert read(bank.context, Source("password_file", str(file))) == Secret("passphrase", PASSPHRASE.encode())
        assert notes(bank) == []

    def test_only_one_line_end_is_taken_away(self, open_: Open, tmp_path: Path) -> None:
        file = written(tmp_path / "file", b" a b \n\n")
        assert read(open_().context, Source("password_file", str(file))).value == b" a b \n"

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
    def test_a_file_that_others_may_read_is_named(self, open_: Open, password_file: Path, mode: int) -> None:
        password_file.chmod(mode)
        bank = open_()
        read(bank.context, Source("password_file", str(password_file)))
        (note,) = notes(bank)
        assert "others may read" in note
        assert "chmod 600" in note
        assert PASSPHRASE not in note

    @pytest.mark.parametrize("data", [b"", b"\n", b"\r\n", b"\xef\xbb\xbf\n"])
    def test_nothing_is_no_passphrase(self, open_: Open, tmp_path: Path, data: bytes) -> None:
        with pytest.raises(UsageError, match="no passphrase"):
            read(open_().context, Source("password_file", str(written(tmp_path / "file", data))))

    def test_a_missing_file(self, open_: Open, tmp_path: Path) -> None:
        with pytest.raises(OperationFailed, match="cannot read"):
            read(open_().context, Source("password_file", str(tmp_path / "none")))

    def test_a_file_that_is_too_large(self, open_: Open, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="too large"):
            read(open_().context, Source("password_file", str(written(tmp_path / "file", b"x" * 70_000))))

    def test_the_home_may_be_a_tilde(self, open_: Open, password_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(password_file.parent))
        assert read(open_().context, Source("password_file", "~/password")).value == PASSPHRASE.encode()

    def test_a_key_file(self, open_: Open, tmp_path: Path) -> None:
        file = written(tmp_path / "key", b"k" * 32)
        assert read(open_().context, Source("key_file", str(file))) == Secret("raw", b"k" * 32)
        with pytest.raises(UsageError, match="32 bytes"):
            read(open_().context, Source("key_file", str(written(tmp_path / "key", b"short"))))


class TestCommands:
    def test_what_it_prints_is_the_passphrase(self, open_: Open) -> None:
        source = Source("password_command", command(f"print('{PASSPHRASE}')"))
        assert read(open_().context, source) == Secret("passphrase", PASSPHRASE.encode())

    def test_there_is_no_shell(self, open_: Open, tmp_path: Path) -> None:
        script = "import sys; print(sys.argv[1:])"
        found = read(open_().context, Source("password_command", f"{command(script)} $HOME ; touch {tmp_path}/x"))
        assert found.value.decode() == str(["$HOME", ";", "touch", f"{tmp_path}/x"])
        assert not (tmp_path / "x").exists()

    @pytest.mark.parametrize(
        ("script", "words"),
        [("import sys; sys.exit(7)", "exit code 7"), ("pass", "no passphrase"), ("print()", "no passphrase")],
    )
    def test_one_that_gives_nothing(self, open_: Open, script: str, words: str) -> None:
        with pytest.raises(MemorybankError, match=words):
            read(open_().context, Source("password_command", command(script)))

    def test_one_that_is_not_there(self, open_: Open) -> None:
        with pytest.raises(OperationFailed, match="cannot run"):
            read(open_().context, Source("password_command", "/no/such/program with arguments"))

    @pytest.mark.parametrize("value", ["  ", "'unfinished", '"'])
    def test_one_that_is_no_command_line(self, open_: Open, value: str) -> None:
        with pytest.raises(UsageError, match="no command line"):
            read(open_().context, Source("password_command", value))

    def test_one_that_never_ends(self, open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(secret_reading, "COMMAND_TIMEOUT", 0.2)
        with pytest.raises(OperationFailed, match="within"):
            read(open_().context, Source("password_command", command("import time; time.sleep(60)")))

    @as_root
    def test_one_of_the_banks_owner_never_becomes_root(self, open_: Open) -> None:
        script = "import os; print(os.getresuid(), os.getresgid())"
        python = public_python()
        if python is None:
            pytest.skip("needs a Python that every user may read")
        bank = open_()
        with own_ids_again():
            os.setegid(OWNER)
            os.seteuid(OWNER)
            found = read(bank.context, Source("password_command", f'{python} -I -S -c "{script}"'))
        assert found.value.decode() == f"{(OWNER,) * 3} {(OWNER,) * 3}"

    def test_one_that_another_users_settings_name_is_not_run(
        self, open_: Open, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home.mkdir(exist_ok=True)
        (home / "config.json").write_text(json.dumps({"password_command": f"touch {tmp_path}/x"}))
        bank = open_()
        assert named(bank) == Source("password_command", f"touch {tmp_path}/x")
        monkeypatch.setattr(bank, "owner", bank.owner + 1)
        with pytest.raises(Refused, match="not run for anybody else"):
            named(bank)
        monkeypatch.setenv("MEMORYBANK_PASSWORD_COMMAND", "mine")
        assert named(bank) == Source("password_command", "mine")

    def test_its_arguments_stand_in_no_message(self, open_: Open) -> None:
        for script in (f"'{PASSPHRASE}' and exit(1)", f"len('{PASSPHRASE}')"):
            with pytest.raises(MemorybankError) as caught:
                read(open_().context, Source("password_command", command(script)))
            assert PASSPHRASE not in f"{caught.value} {caught.value.hint} {caught.value.__context__}"


class TestAsking:
    def test_nobody_to_ask_names_the_options(self, open_: Open, repo: str) -> None:
        with pytest.raises(UsageError) as caught:
            open_repository(open_(), repo)
        assert caught.value.exit_code == 2
        assert repo in caught.value.message
        assert all(option in caught.value.hint for option in ("--password-file", "--key-file", "--password-command"))

    def test_a_person_has_three_tries(self, open_: Open, repo: str) -> None:
        bank = open_(ask_secret=typing("wrong", "wrong again", PASSPHRASE))
        open_repository(bank, repo).close()
        assert len(notes(bank)) == 2
        with pytest.raises(WrongKey):
            open_repository(open_(ask_secret=typing("1", "2", "3", PASSPHRASE)), repo)

    def test_an_empty_answer_is_refused(self, open_: Open, repo: str) -> None:
        with pytest.raises(UsageError, match="empty"):
            open_repository(open_(ask_secret=typing("")), repo)

    def test_nobody_is_asked_twice_in_a_run(self, open_: Open, repo: str) -> None:
        bank = open_(ask_secret=typing(PASSPHRASE))
        for _ in range(3):
            open_repository(bank, repo).close()
        repository_for_backup(bank, repo).close()

    def test_stdin_is_read_once(self, open_: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read_end, write_end = os.pipe()
        os.write(write_end, PASSPHRASE.encode())
        os.close(write_end)
        saved = os.dup(0)
        os.dup2(read_end, 0)
        try:
            bank = open_(password_file="-")
            repository_for_backup(bank, str(tmp_path / "new")).close()
            open_repository(bank, str(tmp_path / "new")).close()
        finally:
            os.dup2(saved, 0)
        with open_repository(open_(ask_secret=typing(PASSPHRASE)), str(tmp_path / "new")) as repository:
            assert repository.encrypted

    def test_a_new_passphrase_is_asked_for_twice(self, open_: Open, tmp_path: Path) -> None:
        place = str(tmp_path / "new")
        with pytest.raises(UsageError, match="differ"):
            repository_for_backup(open_(ask_secret=typing("one", "two")), place, encrypt=True)
        assert not Path(place).exists()
        bank = open_(ask_secret=typing("one", "one"))
        repository_for_backup(bank, place, encrypt=True).close()
        assert "nobody can restore" in notes(bank)[0]
        open_repository(open_(ask_secret=typing("one")), place).close()

    def test_odd_characters_are_kept_byte_by_byte(self, open_: Open, tmp_path: Path) -> None:
        place = str(tmp_path / "new")
        typed = "é \udcff漢"
        repository_for_backup(open_(ask_secret=typing(typed, typed)), place, encrypt=True).close()
        file = written(tmp_path / "file", typed.encode(errors="surrogateescape"))
        open_repository(open_(password_file=str(file)), place).close()


class TestNewKeyFiles:
    def test_a_missing_one_is_made(self, open_: Open, tmp_path: Path) -> None:
        file, place = tmp_path / "key", str(tmp_path / "new")
        bank = open_(key_file=str(file))
        repository_for_backup(bank, place).close()
        assert file.stat().st_mode & 0o777 == 0o600
        assert len(bytes.fromhex(file.read_text().strip())) == 32
        assert str(file) in notes(bank)[0]
        assert "nobody can restore" in notes(bank)[0]
        assert file.read_text().strip() not in notes(bank)[0]
        open_repository(open_(key_file=str(file)), place).close()

    def test_one_that_is_there_is_used(self, open_: Open, tmp_path: Path) -> None:
        file = written(tmp_path / "key", b"k" * 32)
        repository_for_backup(open_(key_file=str(file)), str(tmp_path / "new")).close()
        assert file.read_bytes() == b"k" * 32

    def test_for_a_repository_that_is_there_none_is_made(self, open_: Open, repo: str, tmp_path: Path) -> None:
        with pytest.raises(OperationFailed, match="cannot read"):
            repository_for_backup(open_(key_file=str(tmp_path / "typo")), repo)
        assert not (tmp_path / "typo").exists()

    @pytest.mark.parametrize("where", ["state/key", "key"])
    def test_never_in_the_bank(self, open_: Open, tmp_path: Path, where: str) -> None:
        bank = open_()
        with pytest.raises(Refused, match="lie in the bank"):
            new_secret(bank, Source("key_file", f"{bank.root.path}/{where}"), str(tmp_path / "new"))

    def test_never_in_the_repository(self, open_: Open, tmp_path: Path) -> None:
        (tmp_path / "new").mkdir()
        with pytest.raises(Refused, match="lie in the repository"):
            new_secret(open_(), Source("key_file", str(tmp_path / "new" / "key")), str(tmp_path / "new"))

    def test_where_none_can_be_made(self, open_: Open, tmp_path: Path) -> None:
        with pytest.raises(OperationFailed):
            new_secret(open_(), Source("key_file", str(tmp_path / "no" / "folder" / "key")), str(tmp_path / "new"))


def downgraded(place: Path, repo_id: str) -> Path:
    """What somebody without a key puts in the place of an encrypted repository, with a snapshot of his own."""
    Repository.create(place, reserve=0).close()
    (place / "config.json").write_text(json.dumps({"format": "mb-repo", "version": 1, "repo_id": repo_id}))
    with Repository.open(place) as repo:
        making.save_files(repo, {"state/state.json": b"forged"})
    return place


class TestReadingAPlainOne:
    def test_one_that_was_encrypted_is_not_believed(
        self, open_: Open, password_file: Path, tmp_path: Path, run: Run
    ) -> None:
        place = tmp_path / "repo"
        with repository_for_backup(open_(password_file=str(password_file)), str(place)) as made:
            repo_id = made.repo_id
        shutil.rmtree(place)
        downgraded(place, repo_id)
        for key in ((), ("--password-file", password_file)):
            for words in (("restore", "latest", "--to", tmp_path / "out"), ("list",), ("verify",)):
                done = run("snapshot", *words, "--repo", place, *key, cwd=open_().root.path)
                assert (done.returncode, "not any more" in done.stderr) == (13, True)
        assert not (tmp_path / "out").exists()
        assert "not any more" in Snapshots(open_(), str(place), look=True).trouble

    def test_a_key_that_is_named_for_it(
        self, open_: Open, password_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = str(downgraded(tmp_path / "repo", "0" * 32))
        with pytest.raises(Refused, match="a key is named") as caught:
            open_repository(open_(password_file=str(password_file)), place)
        assert caught.value.exit_code == 13
        monkeypatch.setenv("MEMORYBANK_PASSWORD_FILE", str(password_file))
        with pytest.raises(Refused, match="a key is named"):
            open_repository(open_(), place)

    def test_settings_may_name_a_key_for_another_one(
        self, open_: Open, password_file: Path, tmp_path: Path, run: Run
    ) -> None:
        assert run("config", "set", "password_file", password_file, cwd=open_().root.path).returncode == 0
        place = str(downgraded(tmp_path / "repo", "0" * 32))
        for act in (open_repository, repository_for_backup):
            with act(open_(), place) as opened:
                assert not opened.encrypted


class TestForBackup:
    def test_a_key_that_is_named_makes_it_encrypted(self, open_: Open, password_file: Path, tmp_path: Path) -> None:
        with repository_for_backup(open_(password_file=str(password_file)), str(tmp_path / "new")) as made:
            assert made.encrypted

    def test_without_any_it_is_plain(self, open_: Open, tmp_path: Path) -> None:
        with repository_for_backup(open_(), str(tmp_path / "new")) as made:
            assert not made.encrypted

    def test_plain_on_purpose(self, open_: Open, password_file: Path, tmp_path: Path) -> None:
        with repository_for_backup(
            open_(password_file=str(password_file)), str(tmp_path / "new"), encrypt=False
        ) as made:
            assert not made.encrypted

    def test_a_plain_one_never_becomes_encrypted(
        self, open_: Open, password_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = str(tmp_path / "plain")
        Repository.create(place, reserve=0).close()
        for bank, encrypt in ((open_(), True), (open_(password_file=str(password_file)), None)):
            with pytest.raises(Refused, match="is not encrypted") as caught:
                repository_for_backup(bank, place, encrypt)
            assert "--repo" in caught.value.hint
        monkeypatch.setenv("MEMORYBANK_PASSWORD_FILE", str(password_file))
        with pytest.raises(Refused, match="a key is named"):
            repository_for_backup(open_(), place)
        monkeypatch.setenv("MEMORYBANK_PASSWORD_FILE", "")
        with repository_for_backup(open_(), place) as made:
            assert not made.encrypted

    def test_one_that_was_encrypted_does_not_become_plain(
        self, open_: Open, password_file: Path, tmp_path: Path
    ) -> None:
        place = tmp_path / "repo"
        made = repository_for_backup(open_(password_file=str(password_file)), str(place))
        made.close()
        (place / "config.json").write_text(json.dumps({"format": "mb-repo", "version": 1, "repo_id": made.repo_id}))
        shutil.rmtree(place / "keys")
        (tmp_path / "link").symlink_to(place)
        for name in ("repo", "link"):
            with pytest.raises(Refused, match="not any more") as caught:
                repository_for_backup(open_(), str(tmp_path / name))
            assert caught.value.exit_code == 13
        shutil.rmtree(place)
        with pytest.raises(Refused, match="not any more"):
            repository_for_backup(open_(), str(place))
        assert not place.exists()
        with repository_for_backup(open_(password_file=str(password_file)), str(place)) as again:
            assert again.encrypted
        with repository_for_backup(open_(), str(tmp_path / "another")) as plain:
            assert not plain.encrypted

    def test_a_copy_at_another_place_does_not_become_plain(
        self, open_: Open, password_file: Path, tmp_path: Path
    ) -> None:
        with repository_for_backup(open_(password_file=str(password_file)), str(tmp_path / "repo")) as made:
            downgraded(tmp_path / "copy", made.repo_id)
        for act in (repository_for_backup, open_repository):
            with pytest.raises(Refused, match="not any more"):
                act(open_(), str(tmp_path / "copy"))

    def test_encrypt_is_no_matter_where_it_is(self, open_: Open, repo: str, password_file: Path) -> None:
        for encrypt in (True, None):
            with repository_for_backup(open_(password_file=str(password_file)), repo, encrypt) as opened:
                assert opened.encrypted

    def test_without_a_key_nothing_is_made(self, open_: Open, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            repository_for_backup(open_(), str(tmp_path / "new"), encrypt=True)
        assert not (tmp_path / "new").exists()


class TestLooking:
    def test_one_that_cannot_be_opened_counts_as_none_and_says_so(self, open_: Open, repo: str, tmp_path: Path) -> None:
        asked: list[str] = []

        def ask(question: str) -> str:
            asked.append(question)
            return ""

        bank = open_(ask_secret=ask)
        snapshots = Snapshots(bank, repo, look=True)
        assert (snapshots.newest_first(), asked) == ([], [])
        assert snapshots.trouble == f"the repository {repo} is encrypted and no key is named"
        wrong = written(tmp_path / "wrong", b"wrong")
        assert "does not open" in Snapshots(open_(password_file=str(wrong)), repo, look=True).trouble
        assert "cannot read" in Snapshots(open_(password_file=str(tmp_path / "none")), repo, look=True).trouble

    def test_one_that_can_be_opened(self, open_: Open, repo: str, password_file: Path) -> None:
        snapshots = Snapshots(open_(password_file=str(password_file)), repo, look=True)
        assert snapshots.repo is not None
        assert snapshots.trouble == ""
        snapshots.close()

    def test_without_look_it_is_an_error(self, open_: Open, repo: str) -> None:
        with pytest.raises(UsageError):
            Snapshots(open_(), repo)
