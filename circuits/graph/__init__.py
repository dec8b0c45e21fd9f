"""The circuit as a value and as files."""
