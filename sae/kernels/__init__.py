"""The arithmetic of sparse dictionaries: the slow truth and the fast forms."""
