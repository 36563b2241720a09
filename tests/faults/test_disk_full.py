"""Full disks: what fails leaves everything before it restorable, and `prune --now` works with no byte left."""

from __future__ import annotations

import pytest

from tests.faults.disks import ROOMS, backup_and_prune, bank_without_room, can_mount

pytestmark = pytest.mark.skipif(not can_mount(), reason="only root can mount a small file system")


@pytest.mark.parametrize("room", ROOMS)
def test_a_repository_on_a_full_disk_can_be_pruned_and_used_again(room: int) -> None:
    backup_and_prune(room)


@pytest.mark.parametrize("room", ROOMS[::2])
def test_a_bank_on_a_full_disk_loses_nothing(room: int) -> None:
    bank_without_room(room)
