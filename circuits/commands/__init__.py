"""The commands of the `circuits` program, one a file."""
