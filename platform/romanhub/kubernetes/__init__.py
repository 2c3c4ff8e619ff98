"""The platform on Kubernetes: what is other there than on one machine."""
