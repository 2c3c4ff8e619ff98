"""Running the whole platform on one machine, with embedded parts."""
