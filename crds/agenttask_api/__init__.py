"""The AgentTask API as Python, shared by the operator, the agent and the courier.

Reading order: `spec` (what a user asks), `agentclass` (what a platform allows),
`status` and `reasons` (what the operator answers), `taskdocument` (what travels
into the pod), `result` and `digest` (what comes out of it), `events` (what NATS
carries), `names` (files, sockets, environment, labels and subjects).

No module here does any I/O, and none imports another part of the project.
"""
