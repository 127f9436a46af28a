"""A cluster with everything an AgentTask needs, for the demo and the e2e tests.

Standard library only: `make demo` runs before any virtual environment exists.
Reading order: `commands` (running things), `images`, `services`, `product`, `demo`.
"""
