import { describe, expect, it } from 'vitest';
import { bodyOf, EMPTY, fieldOf, formOf, patchOf } from './form';
import { cell, percent, span } from './format';
import { fittingName, readKubeconfig } from './kubeconfig';
import { readEngine } from './numbers';
import { beats, stretches } from './past';
import type { Cluster, Transition } from './types';

const PEM = btoa('-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n');

describe('a kubeconfig', () => {
  it('gives names and servers, and nothing of its users', () => {
    const text = `apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: ${PEM}\n    server: https://a:6443\n  name: Prod_EU\n- name: "b"\n  cluster: \n    server: 'https://b:6443' # x\ncontexts:\n- context:\n    cluster: c\n  name: c\nusers:\n- name: admin\n  user:\n    token: secret\n    server: https://no\n`;
    const found = readKubeconfig(text);
    expect(found.map(({ name, server }) => [name, server])).toEqual([['prod-eu', 'https://a:6443'], ['cluster-b', 'https://b:6443']]);
    expect(found[0]!.ca).toContain('BEGIN CERTIFICATE');
    expect(JSON.stringify(found)).not.toContain('secret');
  });

  it('may be JSON, and garbage gives nothing', () => {
    expect(readKubeconfig('{"clusters":[{"name":"abc","cluster":{"server":"https://a"}}]}')[0]!.name).toBe('abc');
    expect(readKubeconfig('hello\n- world')).toEqual([]);
    expect(fittingName('--A b/c--')).toBe('a-b-c');
  });
});

describe('the form', () => {
  const form = { ...EMPTY, name: 'abc', api_server_url: 'https://a', labels: 'team=data\nx=', loki_url: 'https://l', timeout_seconds: '3', region: 'eu' };

  it('leaves out what is empty', () => {
    expect(bodyOf(form)).toEqual({
      name: 'abc', api_server_url: 'https://a', cluster_type: 'SPOKE', platform: 'OPENSHIFT', environment: 'DEVELOPMENT', region: 'eu',
      labels: { team: 'data', x: '' }, endpoints: { loki_url: 'https://l' }, health_check: { timeout_seconds: 3 },
    });
  });

  it('patches only what changed, and empties with null', () => {
    expect(patchOf(form, { ...form, region: '', loki_url: '', labels: 'team=web', timeout_seconds: '5' })).toEqual({
      region: null, endpoints: { loki_url: null }, health_check: { timeout_seconds: 5 }, labels: { team: 'web', x: null },
    });
    expect(patchOf(form, { ...form })).toEqual({});
  });

  it('reads a cluster back into itself', () => {
    const cluster = { ...bodyOf(form), display_name: null, tls_server_name: null, platform_version: null } as unknown as Cluster;
    expect(formOf(cluster)).toEqual(form);
  });

  it('shows an error of the API at its field', () => {
    expect([fieldOf('endpoints.loki_url'), fieldOf('labels.-x'), fieldOf('health_check.timeout_seconds'), fieldOf('regoin')]).toEqual(['loki_url', 'labels', 'timeout_seconds', '']);
  });
});

describe('the past', () => {
  const step = (at: number, old_state: string, new_state: string) => ({ at: new Date(at).toISOString(), old_state, new_state, reason: 'x' }) as unknown as Transition;
  const all = stretches([step(60_000, 'OFFLINE', 'ONLINE'), step(40_000, 'ONLINE', 'OFFLINE')], 0, 100_000, { state: 'ONLINE', since: 60_000, reason: '' }, 10_000);

  it('is one state after another, without holes', () => {
    expect(all.map((one) => [one.from, one.to, one.state])).toEqual([[0, 10_000, 'UNKNOWN'], [10_000, 40_000, 'ONLINE'], [40_000, 60_000, 'OFFLINE'], [60_000, 100_000, 'ONLINE']]);
  });

  it('shows the worst of each part', () => {
    expect(beats(all, 0, 100_000, 5)).toEqual(['ONLINE', 'ONLINE', 'OFFLINE', 'ONLINE', 'ONLINE']);
  });
});

describe('the engine’s numbers', () => {
  const text = (checks: number, fast: number, slow: number) =>
    `fleetbeat_checks_total{cluster_type="HUB"} ${checks}\nfleetbeat_checks_total{cluster_type="EDGE"} 10\n` +
    `fleetbeat_schedule_lag_seconds_bucket{le="0.001"} ${fast}\nfleetbeat_schedule_lag_seconds_bucket{le="1"} ${slow}\nfleetbeat_schedule_lag_seconds_bucket{le="+Inf"} ${slow}\n`;

  it('are of the time between two readings', () => {
    const first = readEngine(text(100, 50, 100), 0);
    expect([first.checksPerSecond, first.lagMs]).toEqual([null, null]);
    const next = readEngine(text(150, 150, 200), 5_000, first);
    expect(next.checksPerSecond).toBe(10);
    expect(next.lagMs).toBeLessThanOrEqual(1);
  });

  it('begin anew when the process did', () => {
    expect(readEngine(text(5, 1, 1), 9, readEngine(text(100, 1, 1), 0)).checksPerSecond).toBeNull();
  });
});

it('never rounds up to a hundred, and never exports a formula', () => {
  expect([percent(99.999), percent(100), percent(null)]).toEqual(['99.99 %', '100 %', '–']);
  expect([cell('=1+1'), cell('a,"b"'), cell(-5), cell(null)]).toEqual(["'=1+1", '"a,""b"""', '-5', '']);
  expect(span(3_725_000)).toBe('1 h 2 min');
});
