"""What a purge takes and where it puts it: archives, and an adapter for each kind of thing."""
