"""Continued pre-training of a host on the text of a domain."""
