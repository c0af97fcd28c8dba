"""People accept, fix or reject rows: their decisions, and what follows from them."""
