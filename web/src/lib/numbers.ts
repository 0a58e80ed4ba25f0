// The engine's numbers, from its metrics: checks per second and how late scheduled checks start.

export interface EngineNumbers {
  at: number;
  checks: number;
  lagBuckets: Map<number, number>;
  checksPerSecond: number | null;
  /** 99th percentile of the schedule lag since the last reading, milliseconds. */
  lagMs: number | null;
}

function value(line: string): number {
  return Number(line.slice(line.lastIndexOf(' ') + 1));
}

/** The upper bound of the bucket in which the share lies; seconds. */
function quantile(buckets: Map<number, number>, share: number): number | null {
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  const total = sorted.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  let [below, floor] = [0, 0];
  for (const [bound, count] of sorted) {
    if (count >= share * total) {
      if (!Number.isFinite(bound)) return floor;
      const inside = count - below;
      return inside > 0 ? floor + ((share * total - below) / inside) * (bound - floor) : bound;
    }
    [below, floor] = [count, bound];
  }
  return null;
}

export function readEngine(metrics: string, at: number, before?: EngineNumbers): EngineNumbers {
  let checks = 0;
  const lagBuckets = new Map<number, number>();
  for (const line of metrics.split('\n')) {
    if (line.startsWith('fleetbeat_checks_total{')) checks += value(line);
    if (line.startsWith('fleetbeat_schedule_lag_seconds_bucket{')) {
      const le = /le="([^"]+)"/.exec(line)?.[1] ?? '';
      const bound = le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le);
      lagBuckets.set(bound, (lagBuckets.get(bound) ?? 0) + value(line));
    }
  }
  if (!before || checks < before.checks) return { at, checks, lagBuckets, checksPerSecond: null, lagMs: null };
  const seconds = Math.max((at - before.at) / 1_000, 0.1);
  const fresh = new Map([...lagBuckets].map(([bound, count]) => [bound, count - (before.lagBuckets.get(bound) ?? 0)]));
  return {
    at,
    checks,
    lagBuckets,
    checksPerSecond: (checks - before.checks) / seconds,
    lagMs: toMs(quantile(fresh, 0.99)) ?? before.lagMs,
  };
}

function toMs(seconds: number | null): number | null {
  return seconds === null ? null : seconds * 1_000;
}
