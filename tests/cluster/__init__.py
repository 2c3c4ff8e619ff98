"""The platform on a real Kubernetes: one of this machine's own, or the one that KUBECONFIG names."""
