"""Forms in which other tools take our benchmark and our results."""
