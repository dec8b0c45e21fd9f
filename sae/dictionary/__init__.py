"""What a sparse autoencoder is, in memory and on disk."""
