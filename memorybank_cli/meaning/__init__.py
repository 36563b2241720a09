"""Floor 3: what documents say: shapes, times, identities, references and aggregates."""
