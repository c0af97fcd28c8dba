"""Images -> regions: boxes of single small objects, and their crops."""
