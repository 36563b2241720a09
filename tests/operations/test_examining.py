"""The status document on the disk: of now, or none."""

from __future__ import annotations

import pytest

from memorybank_cli.base import files
from memorybank_cli.operations.examining import put_status
from tests.conftest import MakeBank
from tests.operations.banks import opened


def test_one_that_cannot_be_written_does_not_stay_as_it_was(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_bank(1, padded=False)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with opened(path) as bank:
        put_status(bank, {"memory_bank_status": {"health_status": "healthy"}})
        assert (path / ".memorybank/status.json").exists()
        monkeypatch.setattr(files, "replace", refuse)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                put_status(bank, {})
            assert not (path / ".memorybank/status.json").exists()
