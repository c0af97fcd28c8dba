"""Image pools -> the images of a run: a seeded choice, with what was left out and why."""
