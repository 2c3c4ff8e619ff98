"""A robot that uses the platform as a person does, and says whether it works and how long each step took."""
