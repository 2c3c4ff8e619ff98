"""The community's catalogue: what people publish, kept, checked, made harmless to look at, and found again."""
