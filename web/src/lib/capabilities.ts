// What was discovered of a cluster, as facts for people. Pure. What could not be found out says why.

export interface Unknown {
  reason: string;
  message: string;
}

export interface Capabilities {
  unknown?: Record<string, Unknown>;
  discovered_at?: string | null;
  suggested_endpoints?: Record<string, string>;
  [field: string]: unknown;
}

export interface Fact {
  title: string;
  value: string;
}

const yes = (value: unknown, word: string) => (value === true ? [word] : []);

function listed(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function gpus(all: Capabilities): string | undefined {
  if (all.has_gpu_nodes === false) return 'none';
  if (all.has_gpu_nodes !== true) return undefined;
  const types = Object.entries((all.gpu_types as Record<string, number> | null) ?? {}).map(([type, count]) => `${count} × ${type}`);
  const parts = [`${all.gpu_count ?? '?'} on ${all.gpu_node_count ?? '?'} nodes`, ...types, ...yes(all.has_gpu_operator, 'GPU Operator'), ...yes(all.has_dcgm_exporter, 'DCGM exporter')];
  return parts.join(', ');
}

function functions(all: Capabilities): string | undefined {
  if (all.has_cnf_workloads === false) return 'none';
  if (all.has_cnf_workloads !== true) return undefined;
  const counted = (value: unknown, word: string) => (Number(value) > 0 ? [`${value} ${word}`] : []);
  const parts = [...listed(all.cnf_types).map((one) => one.toUpperCase()), ...counted(all.sriov_policy_count, 'SR-IOV policies'), ...counted(all.ptp_config_count, 'PTP configurations')];
  return parts.join(', ') || 'present';
}

function observed(all: Capabilities): string | undefined {
  const known = [all.has_prometheus, all.has_thanos, all.has_tempo, all.has_loki];
  if (known.every((one) => typeof one !== 'boolean')) return undefined;
  const parts = [...yes(all.has_prometheus, 'Prometheus'), ...yes(all.has_thanos, 'Thanos'), ...yes(all.has_tempo, 'Tempo'), ...yes(all.has_loki, 'Loki')];
  return parts.join(', ') || 'none seen';
}

function nodes(all: Capabilities): string | undefined {
  if (typeof all.node_count !== 'number') return undefined;
  return typeof all.ready_node_count === 'number' ? `${all.ready_node_count} of ${all.node_count} ready` : String(all.node_count);
}

export function factsOf(all: Capabilities): Fact[] {
  const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
  const mesh = all.has_service_mesh === true ? listed(all.service_meshes).join(', ') || 'present' : all.has_service_mesh === false ? 'none' : undefined;
  const found: [string, string | undefined][] = [
    ['Kubernetes', text(all.kubernetes_version)], ['Platform', [text(all.platform), text(all.platform_version)].filter(Boolean).join(' ') || undefined],
    ['Nodes', nodes(all)], ['GPUs', gpus(all)], ['Network functions', functions(all)], ['Observability', observed(all)], ['Service mesh', mesh],
  ];
  return found.map(([title, value]) => ({ title, value: value ?? 'not known' }));
}

/** What could not be found out and why; that an API is absent is an answer. */
export function gapsOf(all: Capabilities): { step: string; why: string }[] {
  const gaps = Object.entries(all.unknown ?? {}).filter(([, one]) => one.reason !== 'absent');
  return gaps.map(([step, one]) => ({ step: step.replaceAll('_', ' '), why: one.message || one.reason }));
}
