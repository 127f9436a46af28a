"""`agenttask` and `kubectl agenttask`: a task on this machine, or on a cluster."""
