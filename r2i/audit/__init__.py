"""What only a rendered world can tell: how often regions, questions, answers and labels are true."""
