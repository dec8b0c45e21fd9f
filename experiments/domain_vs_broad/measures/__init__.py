"""The second stage of the comparison: what the features of finished dictionaries are, not only how well they fit."""
