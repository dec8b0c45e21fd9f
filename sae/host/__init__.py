"""The language model that dictionaries are spliced into."""
