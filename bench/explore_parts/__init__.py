"""Parts of bench/explore.py."""
