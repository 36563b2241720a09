"""The live view of `watch` on a terminal: what it knows, how that is drawn, and what its keys do."""
