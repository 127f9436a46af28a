"""The trusted half of the pod: clone, verify, judge, push, publish.

Reading order: `places` and `settings` (where things are), `git` (the one way to
run git), `clone` and `verifier` (two containers of their own), then `serve` with
`door`, `gate` and `inbox` (what the agent may ask), `decision` (the rules), `judge`
with `intake`, `policy`, `verify`, `push`, `salvage` (their effects), `result`,
`publish` and `lastwords` (what comes out).
"""
