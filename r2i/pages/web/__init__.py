"""Pages on this machine: what `r2i explore` and `r2i review` are made of."""
