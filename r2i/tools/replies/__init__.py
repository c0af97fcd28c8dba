"""What is done with the replies that a run has paid for: shared, counted, shown, checked, thrown out."""
