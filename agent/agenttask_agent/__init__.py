"""The untrusted half of the pod: a model, a loop and tools in one workspace.

Reading order: `loop` (what a run is), `messages` and `results` (what it passes
around), `models` and `tools` (its two ports), `run` (how a pod's run is wired),
`door` (the only way out), `rehearsal` (the scripted model server).

Nothing here holds a credential, and nothing it says is believed: the courier
judges the commit, not the report.
"""
