"""The smallest circuit that still does what is asked of it."""
