"""The commands of the `steering` program, one a file."""
