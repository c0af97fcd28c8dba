"""The tables of a run as pages: filtered, searched, and walked from row to row."""
