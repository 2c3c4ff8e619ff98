"""The chart for Kubernetes: its values, what the hub there is told, and its secrets."""
