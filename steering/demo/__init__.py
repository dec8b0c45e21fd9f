"""`steering demo`: one feature, one case, side by side with what else the feature does."""
