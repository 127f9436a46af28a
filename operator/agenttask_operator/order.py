"""Everything one Job is made from."""

from dataclasses import dataclass

from agenttask_api import names
from agenttask_api.agentclass import AgentClassSpec
from agenttask_api.spec import AgentTaskSpec
from agenttask_api.taskdocument import TaskDocument
from agenttask_operator.admission import Granted


@dataclass(frozen=True)
class Order:
    """Everything a Job is made from."""

    document: TaskDocument
    task: AgentTaskSpec
    class_: AgentClassSpec
    class_name: str
    granted: Granted
    agent_image: str
    nats_url: str
    """Of the operator; the class's own wins."""
    cluster_id: str
    otlp_endpoint: str = ""
    """Where the pod's spans go; empty = nowhere."""
    unrecorded: bool = False
    """The run begins though the run-once ledger could not be asked."""

    @property
    def job_name(self) -> str:
        """The one name that a Job of this run can have."""
        identity = self.document.identity
        return names.job_name(identity.name, identity.uid, identity.run_key)
