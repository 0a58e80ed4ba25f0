// A cluster's past as stretches of one state each, from its transitions. Pure.

import type { State, Transition } from './types';

export interface Stretch {
  from: number;
  to: number;
  state: State;
  why: string;
}

/** Stretches that cover a window; before the first known transition the state is what that one left. */
export function stretches(transitions: Transition[], from: number, to: number, now: { state: State; since: number; reason: string }, born: number): Stretch[] {
  const oldest = [...transitions].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const found: Stretch[] = [];
  const start = Math.max(from, born);
  if (start > from) found.push({ from, to: Math.min(start, to), state: 'UNKNOWN', why: 'not registered' });
  let state: State = oldest[0]?.old_state ?? (now.since <= start ? now.state : 'UNKNOWN');
  let [at, why] = [start, oldest[0] ? '' : now.reason];
  for (const one of oldest) {
    const moment = Date.parse(one.at);
    if (moment > at) found.push({ from: at, to: Math.min(moment, to), state, why });
    [state, at, why] = [one.new_state, Math.max(moment, start), one.reason];
  }
  if (at < to) found.push({ from: at, to, state, why });
  return found;
}

/** The worst state of each of `parts` equal parts of a window. */
export function beats(all: Stretch[], from: number, to: number, parts: number): State[] {
  const rank: Record<State, number> = { UNKNOWN: 0, ONLINE: 1, DEGRADED: 2, OFFLINE: 3 };
  const length = (to - from) / parts;
  return Array.from({ length: parts }, (_, part) => {
    const [low, high] = [from + part * length, from + (part + 1) * length];
    const inside = all.filter((one) => one.to > low && one.from < high);
    return inside.reduce<State>((worst, one) => (rank[one.state] > rank[worst] ? one.state : worst), 'UNKNOWN');
  });
}

export const RANGES: Record<string, number> = { '1h': 3_600_000, '6h': 21_600_000, '24h': 86_400_000, '7d': 604_800_000 };
