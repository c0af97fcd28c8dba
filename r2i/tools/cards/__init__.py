"""Cards of the data and of a model: every number from a file of the run, Markdown with the front matter of the Hub."""
