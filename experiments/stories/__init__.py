"""A small Llama of children's stories: what holds outside of medicine, on a model that nobody here trained."""
