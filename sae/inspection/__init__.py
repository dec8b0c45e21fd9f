"""What the features of a dictionary respond to and write, and how a training run went: for people to look at."""
