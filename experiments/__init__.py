"""Runnable claims: what the toolkit finds, on which model, and how to see it again."""
