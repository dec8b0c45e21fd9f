"""Circuits beside each other."""
