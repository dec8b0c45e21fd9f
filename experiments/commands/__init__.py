"""The commands of the `experiments` program, one a file."""
