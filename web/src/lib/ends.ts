// What of a cluster's access ends, and how soon. Never a secret: the server tells none. Pure.

import { span } from './format';

export interface AccessEnd {
  endpoint: string;
  kind: string;
  expires_at: string;
}

export interface ClusterAccess {
  auth_type: string | null;
  status: 'ok' | 'expiring' | 'expired';
  expires_at: string;
  ends: AccessEnd[];
}

const ENDPOINTS: Record<string, string> = { api_server: 'API server', prometheus: 'Prometheus', tempo: 'Tempo', loki: 'Loki' };

export function endpointWord(endpoint: string): string {
  return ENDPOINTS[endpoint] ?? endpoint;
}

export function kindWord(kind: string): string {
  const words = kind.replaceAll('_', ' ').replace(/^ca /, 'CA ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** `in 12 d 3 h`, or how long it has been over. */
export function untilWord(at: string, now: number): string {
  const left = Date.parse(at) - now;
  return left > 0 ? `in ${span(left)}` : `ended ${span(-left)} ago`;
}

/** How an end looks, by the days that are left of it. */
export function urgency(at: string, now: number): 'over' | 'soon' | 'far' {
  const left = Date.parse(at) - now;
  return left <= 0 ? 'over' : left < 7 * 86_400_000 ? 'soon' : 'far';
}
