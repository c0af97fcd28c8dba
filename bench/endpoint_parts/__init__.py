"""The parts of bench/endpoint.py: a server that injects faults and counts, clients in processes of their own."""
