"""A circuit written for other programs and for people."""
