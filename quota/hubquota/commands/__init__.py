"""The commands of `hubquota`: a module for each noun, and what they share."""
