"""Effect against side effects over strengths, method beside method at equal harm."""
