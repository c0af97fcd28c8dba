"""One common table for every benchmark: image, crop, box, question, options, answer, dimension."""
