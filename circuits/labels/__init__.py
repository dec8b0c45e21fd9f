"""Names of features: read, put into circuits and dictionaries, written out."""
