"""The small profile: bounded questions for models that cannot drive tools themselves.

The harness does everything that can be computed: which files there are, what the tests
say, where a symbol begins and ends, whether an edit parses, what it lost. The model
picks from lists made of the real repository, and writes code as text, never inside
JSON. Several ways to make an edit are tried, and the checks choose among the answers.

Reading order: `words` (what the task says), `pysource` (where things are in a file),
`formats` (how an edit is asked for and read), `decide` (what to try next, which answer
wins), `bench` (the workspace, changed and tested), `ask` (the model), `entry` (a run).
"""
