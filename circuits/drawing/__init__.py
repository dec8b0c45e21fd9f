"""What a person looks at: terminal and picture."""
