"""What several parts of the hub's side decide or read together."""
