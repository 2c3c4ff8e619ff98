"""What several tests share: a running platform, people who use it, and their browsers."""
