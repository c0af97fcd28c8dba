"""`r2i study`: a declared list of claims, each tested by DVC experiments, seed by seed."""
