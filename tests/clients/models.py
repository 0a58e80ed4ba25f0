"""The platform's events as pydantic models, written after its documents: the envelope of the integration matrix §5.2, the payloads of
its catalogue §5.3, the cluster of the registry's specification §4.2 and §7.1. Nothing of fleetbeat is known here: fields that the
documents do not name are passed over, as a model does that was written before they were there.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AnyHttpUrl, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

State = Literal["UNKNOWN", "ONLINE", "DEGRADED", "OFFLINE"]


class Document(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class Endpoints(Document):
    prometheus_url: AnyHttpUrl | None = None
    tempo_url: AnyHttpUrl | None = None
    loki_url: AnyHttpUrl | None = None


class ClusterCapabilities(Document):
    has_gpu_nodes: bool | None = None
    gpu_count: int | None = Field(None, ge=0)
    has_cnf_workloads: bool | None = None


class Cluster(Document):
    id: UUID
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")]
    display_name: Annotated[str, StringConstraints(max_length=128)] | None
    api_server_url: AnyHttpUrl
    cluster_type: Literal["HUB", "SPOKE", "EDGE", "FAR_EDGE"]
    platform: Literal["OPENSHIFT", "KUBERNETES", "MICROSHIFT"]
    platform_version: str | None
    region: Annotated[str, StringConstraints(max_length=64)] | None
    environment: Literal["PRODUCTION", "STAGING", "DEVELOPMENT", "LAB"]
    capabilities: ClusterCapabilities | None
    endpoints: Endpoints
    labels: dict[str, str]
    created_at: AwareDatetime
    updated_at: AwareDatetime


class AboutCluster(Document):
    cluster_id: UUID


class ClusterStatusChange(AboutCluster):
    old_state: State
    new_state: State


class CapabilitiesChange(AboutCluster):
    capabilities: ClusterCapabilities


PAYLOADS = {
    "CLUSTER_REGISTERED": Cluster,
    "CLUSTER_UPDATED": Cluster,
    "CLUSTER_DELETED": AboutCluster,
    "CLUSTER_STATUS_CHANGED": ClusterStatusChange,
    "CLUSTER_CREDENTIALS_UPDATED": AboutCluster,
    "CLUSTER_CAPABILITIES_CHANGED": CapabilitiesChange,
}


class Event(Document):
    event_id: UUID
    event_type: Annotated[str, StringConstraints(pattern=r"^[A-Z]+(_[A-Z]+)*$")]
    source: Literal["cluster-registry"]
    cluster_id: UUID
    timestamp: AwareDatetime
    payload: dict[str, Any]


T = TypeVar("T")


class Typed(Document, Generic[T]):
    payload: T


def parse(text: bytes) -> Event:
    """Reads a message, its payload included where the catalogue says what that is. Raises `ValidationError`."""
    event = Event.model_validate_json(text)
    model = PAYLOADS.get(event.event_type)
    if model is not None:
        payload = Typed[model].model_validate_json(text).payload
        about = payload.id if isinstance(payload, Cluster) else payload.cluster_id
        assert about == event.cluster_id, f"the payload is about {about}: {event}"
    return event
