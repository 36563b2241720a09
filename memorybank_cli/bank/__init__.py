"""Floor 2: one bank. Its layout, schemas, journal, catalog and the transaction that every write passes."""
