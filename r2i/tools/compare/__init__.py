"""`r2i compare`: evaluated revisions side by side, each tested against the first, paired by item."""
