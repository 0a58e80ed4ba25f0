// Between the fields of the form and the body of the API. Pure.

import type { Cluster } from './types';

export interface Form {
  name: string;
  display_name: string;
  api_server_url: string;
  cluster_type: string;
  platform: string;
  platform_version: string;
  region: string;
  environment: string;
  labels: string;
  prometheus_url: string;
  tempo_url: string;
  loki_url: string;
  ca_bundle: string;
  tls_server_name: string;
  interval_seconds: string;
  timeout_seconds: string;
  failure_threshold: string;
  success_threshold: string;
}

export const EMPTY: Form = {
  name: '', display_name: '', api_server_url: '', cluster_type: 'SPOKE', platform: 'OPENSHIFT', platform_version: '', region: '',
  environment: 'DEVELOPMENT', labels: '', prometheus_url: '', tempo_url: '', loki_url: '', ca_bundle: '', tls_server_name: '',
  interval_seconds: '', timeout_seconds: '', failure_threshold: '', success_threshold: '',
};

const ENDPOINTS = ['prometheus_url', 'tempo_url', 'loki_url'] as const;
const NUMBERS = ['interval_seconds', 'timeout_seconds', 'failure_threshold', 'success_threshold'] as const;
const TEXTS = ['display_name', 'platform_version', 'region', 'ca_bundle', 'tls_server_name'] as const;

export function formOf(cluster: Cluster): Form {
  const form = { ...EMPTY, name: cluster.name, api_server_url: cluster.api_server_url, cluster_type: cluster.cluster_type, platform: cluster.platform, environment: cluster.environment };
  for (const key of TEXTS) form[key] = cluster[key] ?? '';
  for (const key of ENDPOINTS) form[key] = cluster.endpoints[key] ?? '';
  for (const key of NUMBERS) form[key] = String(cluster.health_check[key] ?? '');
  form.labels = Object.entries(cluster.labels).map(([key, value]) => `${key}=${value}`).join('\n');
  return form;
}

function readLabels(text: string): Record<string, string> {
  const lines = text.split(/[\n,]/).map((line) => line.trim()).filter(Boolean);
  return Object.fromEntries(lines.map((line) => {
    const at = line.indexOf('=');
    return at < 0 ? [line, ''] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  }));
}

/** The body of a `POST`; empty fields are left out. */
export function bodyOf(form: Form): Record<string, unknown> {
  const body: Record<string, unknown> = { cluster_type: form.cluster_type, platform: form.platform, environment: form.environment, labels: readLabels(form.labels) };
  for (const key of ['name', 'api_server_url', ...TEXTS] as const) if (form[key].trim()) body[key] = form[key].trim();
  body.endpoints = Object.fromEntries(ENDPOINTS.filter((key) => form[key].trim()).map((key) => [key, form[key].trim()]));
  body.health_check = Object.fromEntries(NUMBERS.filter((key) => form[key].trim()).map((key) => [key, Number(form[key])]));
  return body;
}

/** The merge patch from what a cluster was to what the form says; what was emptied becomes null. */
export function patchOf(before: Form, after: Form): Record<string, unknown> {
  const patch: Record<string, unknown> = {};
  for (const key of ['api_server_url', 'cluster_type', 'platform', 'environment', ...TEXTS] as const) {
    if (before[key] !== after[key]) patch[key] = after[key].trim() || null;
  }
  const part = (keys: readonly (keyof Form)[], read: (text: string) => unknown) =>
    Object.fromEntries(keys.filter((key) => before[key] !== after[key]).map((key) => [key, after[key].trim() ? read(after[key].trim()) : null]));
  const [endpoints, checks] = [part(ENDPOINTS, String), part(NUMBERS, Number)];
  if (Object.keys(endpoints).length > 0) patch.endpoints = endpoints;
  if (Object.keys(checks).length > 0) patch.health_check = checks;
  if (before.labels !== after.labels) {
    const [old, next] = [readLabels(before.labels), readLabels(after.labels)];
    patch.labels = { ...Object.fromEntries(Object.keys(old).map((key) => [key, null])), ...next };
  }
  return patch;
}

/** Which field of the form an API field is shown at. */
export function fieldOf(path: string): keyof Form | '' {
  const [first, second] = path.split('.');
  const key = (first === 'endpoints' || first === 'health_check' ? second : first) as keyof Form;
  return key in EMPTY ? key : '';
}
