"""A music library: which songs there are, where each one goes, what became of it, and who is told."""
