"""Do domain features mediate clinical reasoning: vignettes that differ in one thing, controls that could refute it."""
