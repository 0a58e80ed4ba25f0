import { describe, expect, it } from 'vitest';
import { kindWord, untilWord, urgency } from './ends';
import { overall, stateOf } from './status';
import { badWhenTrue } from './format';

const now = Date.parse('2026-06-01T00:00:00Z');

describe('ends of access', () => {
  it('say how soon and how urgent', () => {
    expect([untilWord('2026-06-03T01:00:00Z', now), urgency('2026-06-03T01:00:00Z', now)]).toEqual(['in 2 d 1 h', 'soon']);
    expect([untilWord('2026-05-31T23:00:00Z', now), urgency('2026-05-31T23:00:00Z', now)]).toEqual(['ended 1 h 0 min ago', 'over']);
    expect(urgency('2027-06-01T00:00:00Z', now)).toBe('far');
    expect([kindWord('ca_bundle'), kindWord('serving_certificate')]).toEqual(['CA bundle', 'Serving certificate']);
  });

  it('and conditions know whether holding is good', () => {
    expect(['CredentialsExpiring', 'Healthy', 'CredentialsRenewed'].map(badWhenTrue)).toEqual([true, false, false]);
  });
});

describe('the public status', () => {
  const page = (...states: string[]) => overall({ title: '', at: '', clusters: states.map((state, at) => ({ name: String(at), state, uptime_percent: null, days: [] })) });
  it('tells the worst first, and never that all is well while something is not known', () => {
    expect(page('operational', 'operational')).toEqual({ state: 'ONLINE', words: 'Everything works' });
    expect(page('operational', 'unknown')).toEqual({ state: 'UNKNOWN', words: '1 of 2 not known' });
    expect(page('degraded', 'unknown').state).toBe('DEGRADED');
    expect(page('degraded', 'outage')).toEqual({ state: 'OFFLINE', words: '1 of 2 out' });
    expect(page().state).toBe('UNKNOWN');
    expect(stateOf('something else').word).toBe('Unknown');
  });
});
