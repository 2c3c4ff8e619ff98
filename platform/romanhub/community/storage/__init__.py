"""Where the community's catalogue keeps what it knows: a database of its own, and a bucket."""
