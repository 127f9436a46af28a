"""Executes the agent's statements on databases: in the courier, or locally in process.

Reading order: `execution` (the one way in), `connection` (who holds what), then per
kind `postgresql` with `statements`, `keyvalue` (Redis) with `commands`, `graph`
(Neo4j) with `cypher`; `bounds` cuts what comes back.

The server is what enforces read-only and the statement's time; everything decided
here besides is the second wall. Drivers are imported when first needed.
"""
