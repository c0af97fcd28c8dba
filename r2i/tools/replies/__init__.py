"""Tools for the store and the archive of replies: pack and share, count, show, verify, collect garbage."""
