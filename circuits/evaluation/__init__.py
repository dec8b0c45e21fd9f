"""Whether a circuit does what the model does."""
