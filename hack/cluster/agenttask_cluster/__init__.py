"""Real Kubernetes clusters on this machine, without Docker, behind kind's command line."""
