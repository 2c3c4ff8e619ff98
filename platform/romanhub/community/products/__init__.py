"""Data products of the community: what their files are, and how they come out of scratch."""
