"""Floor 3: snapshots of a bank and the repository that keeps them."""
