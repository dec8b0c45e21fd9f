"""How much nodes and edges matter."""
