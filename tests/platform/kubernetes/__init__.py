"""What the platform makes of pods' records and an operator's settings; without a Kubernetes."""
