"""A model that follows a script: an OpenAI-compatible server for tests and demos.

It answers in the shapes of vLLM 0.32, says in every answer that it is a rehearsal,
and is never chosen silently: somebody has to start it and point a class at it.
"""
