"""The commands of the `sae` program, one a file; each a thin shell over library functions."""
