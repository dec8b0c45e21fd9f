"""Whether what a circuit says holds: measured effects, interventions, smaller circuits."""
