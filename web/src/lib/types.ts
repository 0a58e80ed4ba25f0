// What the API says, as far as the dashboard reads it.

export const STATES = ['OFFLINE', 'DEGRADED', 'UNKNOWN', 'ONLINE'] as const;
export type State = (typeof STATES)[number];

export interface TileStatus {
  id: string;
  state: State;
  health_score: number;
  latency_ms: number | null;
  stale: boolean;
  flapping: boolean;
  since: string;
  last_check_at: string | null;
  reason: string;
  silenced?: boolean;
}

export interface TileSpec {
  name: string;
  display_name: string | null;
  cluster_type: string;
  platform: string;
  region: string | null;
  environment: string;
  labels: Record<string, string>;
  generation: number;
}

export type Tile = TileStatus & Partial<TileSpec>;

export interface FleetTiles {
  position: number;
  at: string;
  total_clusters: number;
  held: boolean;
  tiles: Tile[];
}

export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
  lastTransitionTime: string;
}

export interface ClusterStatus extends Omit<TileStatus, 'id'> {
  connectivity: string;
  last_success_at: string | null;
  error_message: string | null;
  api_server_healthy: boolean | null;
  prometheus_healthy: boolean | null;
  tempo_healthy: boolean | null;
  loki_healthy: boolean | null;
  conditions: Condition[];
}

export interface Endpoints {
  prometheus_url?: string | null;
  tempo_url?: string | null;
  loki_url?: string | null;
}

export interface HealthCheck {
  interval_seconds?: number | null;
  timeout_seconds?: number | null;
  failure_threshold?: number | null;
  success_threshold?: number | null;
}

export interface Cluster extends TileSpec {
  id: string;
  api_server_url: string;
  platform_version: string | null;
  status: ClusterStatus;
  capabilities: Record<string, unknown> | null;
  endpoints: Endpoints;
  ca_bundle?: string;
  tls_server_name: string | null;
  source?: string;
  health_check: HealthCheck;
  silenced_by?: string[];
  created_by: string | null;
  created_at: string;
  updated_at: string;
}

export interface Probe {
  endpoint: string;
  result: 'healthy' | 'failed' | 'not_run';
  cause: string | null;
  http_status: number | null;
  latency_ms: number | null;
}

export interface Transition {
  event_id: string;
  old_state: State;
  new_state: State;
  at: string;
  reason: string;
  message: string | null;
  health_score: number;
  evidence: Record<string, unknown>;
  silenced_by?: string[];
}

export interface Rollup {
  start: string;
  checks: number;
  failures: number;
  latency_min_ms: number;
  latency_mean_ms: number;
  latency_max_ms: number;
  latency_p95_ms: number;
}

export interface History {
  from: string;
  to: string;
  transitions: Transition[];
  truncated: boolean;
  rollups: Rollup[];
  silences: Held[];
}

/** When a silence held. */
export interface Held {
  silence_id: string;
  comment: string;
  from: string;
  to: string;
}

export interface Window {
  from: string;
  to: string;
}

export interface Silence {
  id: string;
  state: 'active' | 'upcoming' | 'expired';
  comment: string;
  label_selector: string | null;
  cluster_ids: string[];
  clusters: number;
  starts_at: string;
  ends_at: string;
  rrule: string | null;
  time_zone: string;
  current: Window | null;
  next: Window | null;
  created_by: string | null;
  created_at: string;
  ended_by: string | null;
  ended_at: string | null;
  may_end: boolean;
}

export interface Uptime {
  from: string;
  to: string;
  up_seconds: number;
  degraded_seconds: number;
  down_seconds: number;
  unobserved_seconds: number;
  excluded_seconds: number;
  availability_percent: number | null;
  observed_percent: number;
  outages: number;
}

export interface FleetEvent {
  event_id: string;
  event_type: string;
  cluster_id: string;
  timestamp: string;
  sequence: number;
  position: number;
  payload: Record<string, unknown>;
  silenced_by?: string[];
}

export interface Webhook {
  id: string;
  name: string;
  /** As far as everybody may know it. */
  url: string;
  format: 'cloudevents' | 'slack';
  event_types: string[];
  label_selector: string;
  enabled: boolean;
  signed: boolean;
  created_by: string | null;
  created_at: string;
  status: {
    state: 'delivering' | 'retrying' | 'paused' | 'unreadable';
    waiting_since: string | null;
    attempts: number;
    next_attempt_at: string | null;
    last_delivered_at: string | null;
    failing_since: string | null;
    last_error: string | null;
    dead_letters: number;
  };
}

/** One try to deliver. */
export interface Delivery {
  at: string;
  event_id: string;
  event_type: string;
  cluster_id: string;
  attempt: number;
  outcome: 'delivered' | 'failed' | 'not_run';
  status: number | null;
  error: string | null;
  duration_ms: number;
}

/** An event that a webhook could not be told. */
export interface DeadLetter {
  event_id: string;
  event_type: string;
  cluster_id: string;
  timestamp: string;
  buried_at: string;
  reason: string;
  attempts: number;
  last_error: string | null;
  payload: Record<string, unknown>;
}
