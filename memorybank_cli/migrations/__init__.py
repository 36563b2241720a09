"""Importers of foreign layouts, and the numbered steps from one format of a bank to the next."""
