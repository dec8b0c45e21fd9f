"""Features that cause an answer: which fire on a concept, which of them have an effect, and what else they change."""
