"""The operator: one Job per run of an AgentTask, and the truth about it in the status.

Reading order. What runs: `handlers` (kopf's shell), `runtime` (wired once), `informer`,
`cache` and `observed` (what is known), `queue` (what is due), `reconcile` (gather,
decide, act). Deciding: `facts`, `needs`, `case`, `planner`, `endings`, `actions`. A task
becomes a Job: `admission`, `taskdoc`, `order`, `job`, `volumes`. A Job becomes a status:
`outcome`, `blockers`, `progress`, `conditions`, `status`, `trimming`, `words`. Outside:
`cluster` and `errors` (the API server), `messages` and `outbox` (NATS), `kubeevents`.

Everything but what runs and the two adapters is pure: facts in, values out.
"""
