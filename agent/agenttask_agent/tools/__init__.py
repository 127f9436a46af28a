"""The operations a model may call, and the walls around them.

`catalogue` is the one table; dispatch, schemas, prompt and documentation come from
it. `toolbox` is the only way in: it checks, executes, cuts, redacts and audits.
"""
