"""What is to be explained: prompts, their answers, and what they are compared with."""
