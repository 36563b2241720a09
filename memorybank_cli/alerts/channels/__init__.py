"""The ways on which notices reach people and programs."""
