"""The operator: one Job per run of an AgentTask, and the truth about it in the status.

Reading order: `handlers` (kopf's shell) and `runtime` (what runs, wired once),
`informer` and `cache` (what is known), `queue` (what is due), `reconcile`
(gather, decide, act), `planner` (decide), `admission`, `taskdoc` and `job` (a
task becomes a Job), `outcome` and `status` (a Job becomes a status), `messages`
and `outbox` (NATS), `cluster` (the API server), `settings`.

`planner`, `admission`, `taskdoc`, `job`, `outcome`, `status` and `messages` are
pure: facts in, values out.
"""
