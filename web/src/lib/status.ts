// What the public status page says, in words for people. Pure.

import type { State } from './types';

export interface PublicCluster {
  name: string;
  /** `operational`, `degraded`, `outage` or `unknown`. */
  state: string;
  /** Of the observed time of the days below. */
  uptime_percent: number | null;
  /** By day of UTC, the oldest first; null where nothing was observed. */
  days: (number | null)[];
}

export interface PublicStatus {
  title: string;
  at: string;
  clusters: PublicCluster[];
}

const STATES: Record<string, { state: State; word: string }> = {
  operational: { state: 'ONLINE', word: 'Operational' },
  degraded: { state: 'DEGRADED', word: 'Degraded' },
  outage: { state: 'OFFLINE', word: 'Outage' },
};

export function stateOf(word: string): { state: State; word: string } {
  return STATES[word] ?? { state: 'UNKNOWN', word: 'Unknown' };
}

export function overall(status: PublicStatus): { state: State; words: string } {
  const count = (state: string) => status.clusters.filter((one) => one.state === state).length;
  const all = status.clusters.length;
  if (all === 0) return { state: 'UNKNOWN', words: 'Nothing is shown here yet' };
  const [out, degraded] = [count('outage'), count('degraded')];
  if (out > 0) return { state: 'OFFLINE', words: out === all ? 'Everything is out' : `${out} of ${all} out` };
  if (degraded > 0) return { state: 'DEGRADED', words: `${degraded} of ${all} degraded` };
  const fine = count('operational');
  if (fine === all) return { state: 'ONLINE', words: 'Everything works' };
  return { state: 'UNKNOWN', words: `${all - fine} of ${all} not known` };
}
