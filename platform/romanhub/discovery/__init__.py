"""The search service: which images and sources there are, by the Virtual Observatory's standards."""
