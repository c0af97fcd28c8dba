"""Where a row came from: back to its image, its model calls, its prompts and the code."""
