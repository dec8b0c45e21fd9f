"""Whether what a circuit says holds when it is measured: exact effects, interventions, smaller circuits, other draws."""
