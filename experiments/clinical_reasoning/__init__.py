"""Do domain features mediate clinical reasoning: vignettes that differ in one thing, and controls that may refute it"""
