import { beforeEach, describe, expect, it } from 'vitest';
import { CODE } from './colour';
import { Fleet } from './fleet';
import type { FleetEvent, Tile } from './types';

const at = (second: number) => new Date(1_800_000_000_000 + second * 1_000).toISOString();
const tile = (name: string, more: Partial<Tile> = {}): Tile => ({
  id: `id-${name}`, state: 'ONLINE', health_score: 100, latency_ms: 5, stale: false, flapping: false, since: at(0), last_check_at: at(0), reason: 'healthy',
  name, display_name: null, cluster_type: 'SPOKE', platform: 'OPENSHIFT', region: null, environment: 'LAB', labels: {}, generation: 1, ...more,
});
const event = (name: string, event_type: string, second: number, payload: Record<string, unknown>): FleetEvent => ({
  event_id: `${name}-${second}`, event_type, cluster_id: `id-${name}`, timestamp: at(second), sequence: 1, position: second, payload,
});
const turned = (name: string, second: number, new_state: string) => event(name, 'CLUSTER_STATUS_CHANGED', second, { new_state, health_score: 50, reason: 'refused' });

describe('the fleet', () => {
  let fleet: Fleet;
  let told: [string, readonly number[]][];
  const stateOf = (name: string) => fleet.stateOf(fleet.indexOfName(name)!);

  beforeEach(() => {
    fleet = new Fleet();
    fleet.replace([tile('bbb'), tile('aaa')]);
    told = [];
    fleet.listen((change, indices) => told.push([change, [...indices]]));
  });

  it('stands in the order of names', () => {
    expect(fleet.order.map((index) => fleet.specs[index]!.name)).toEqual(['aaa', 'bbb']);
  });

  it('tells only of tiles that changed', () => {
    fleet.refresh([tile('aaa', { last_check_at: at(30) }), tile('bbb', { last_check_at: at(30), latency_ms: 9 })]);
    expect(told).toEqual([['tiles', [fleet.indexOfName('bbb')]]]);
  });

  it('turns with an event, and does not turn back with an older answer', () => {
    fleet.apply([turned('aaa', 10, 'OFFLINE')]);
    fleet.refresh([tile('aaa', { since: at(0), last_check_at: at(9) })]);
    expect(stateOf('aaa')).toBe('OFFLINE');
    expect(fleet.totals().states[CODE.OFFLINE]).toBe(1);
  });

  it('ignores an event that is older than what it knows', () => {
    fleet.refresh([tile('aaa', { since: at(20), last_check_at: at(20) })]);
    fleet.apply([turned('aaa', 10, 'OFFLINE')]);
    expect(stateOf('aaa')).toBe('ONLINE');
  });

  it('enrols and drops as the log says, once', () => {
    const spec = { name: 'ccc', cluster_type: 'HUB', labels: {}, generation: 1 };
    fleet.apply([event('ccc', 'CLUSTER_REGISTERED', 5, spec), event('ccc', 'CLUSTER_REGISTERED', 5, spec)]);
    expect(stateOf('ccc')).toBe('UNKNOWN');
    fleet.apply([event('aaa', 'CLUSTER_DELETED', 6, {}), event('aaa', 'CLUSTER_DELETED', 6, {})]);
    expect(fleet.order.map((index) => fleet.specs[index]!.name)).toEqual(['bbb', 'ccc']);
    expect(fleet.indexOfName('aaa')).toBeUndefined();
  });

  it('keeps a newer spec', () => {
    fleet.apply([event('aaa', 'CLUSTER_UPDATED', 5, { name: 'aaa', region: 'new', labels: {}, generation: 3 })]);
    fleet.apply([event('aaa', 'CLUSTER_UPDATED', 4, { name: 'aaa', region: 'old', labels: {}, generation: 2 })]);
    expect(fleet.specs[fleet.indexOfName('aaa')!]!.region).toBe('new');
  });

  it('grows past its first size', () => {
    fleet.replace(Array.from({ length: 10_000 }, (_, n) => tile(`c-${n}`, { health_score: n % 101 })));
    expect(fleet.totals().clusters).toBe(10_000);
    expect(fleet.indexOfName('aaa')).toBeUndefined();
    expect(fleet.score[fleet.indexOfName('c-9999')!]).toBe(0);
  });

  it('counts means over those that were checked', () => {
    fleet.replace([tile('aaa', { health_score: 50 }), tile('bbb', { state: 'UNKNOWN', health_score: 0 })]);
    expect(fleet.totals().score).toBe(50);
  });
});
