"""Words of `spec` for those who need no more of it: its models take milliseconds to import."""

from enum import StrEnum


class Role(StrEnum):
    """Who the agent is: persona, model profile and tool set."""

    DEV = "DEV"
    QA = "QA"
    ARCHITECT = "ARCHITECT"
    DEVOPS = "DEVOPS"
    DATA = "DATA"
    PO = "PO"


class ConnectionKind(StrEnum):
    """The database a connection leads to."""

    POSTGRESQL = "postgresql"
    REDIS = "redis"
    NEO4J = "neo4j"
