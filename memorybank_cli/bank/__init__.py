"""Floor 2: one bank. Its layout, schemas, journal, catalog and the commit that every write passes."""
