"""Floor 4: the public verbs, the only place that combines subjects."""
