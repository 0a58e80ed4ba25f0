import { describe, expect, it } from 'vitest';
import { ApiError } from './api';
import type { Delivery, Webhook } from './types';
import { bodyOf, buriedWord, fieldOf, formOf, outcomeWord, signings, standingOf, toldWord } from './webhooks';

const now = Date.parse('2027-01-10T12:00:00Z');
const status: Webhook['status'] = {
  state: 'delivering', waiting_since: null, attempts: 0, next_attempt_at: null, last_delivered_at: '2027-01-10T11:57:00Z', failing_since: null, last_error: null, dead_letters: 0,
};
const webhook: Webhook = {
  id: '1', name: 'ops', url: 'https://hooks.example/in?…', format: 'cloudevents', event_types: ['CLUSTER_STATUS_CHANGED'], label_selector: 'env=prod',
  enabled: true, signed: true, created_by: null, created_at: '2027-01-10T11:00:00Z', status,
};

describe('a webhook in words', () => {
  it('says how it does', () => {
    const words = (change: Partial<Webhook['status']>) => {
      const { word, detail } = standingOf({ ...webhook, status: { ...status, ...change } }, now);
      return `${word}: ${detail}`;
    };
    expect(words({})).toBe('Healthy: last delivered 3 min ago');
    expect(words({ last_delivered_at: null })).toBe('Healthy: nothing delivered since the start');
    const retrying = { state: 'retrying', attempts: 3, next_attempt_at: '2027-01-10T12:00:08Z', last_error: 'refused' } as const;
    expect(words(retrying)).toBe('Retrying: connection refused; tried 3 times, again in 8 s');
    expect(words({ ...retrying, attempts: 1, next_attempt_at: '2027-01-10T11:59:59Z', last_error: 'http_status' })).toBe('Retrying: unexpected status; tried once, again now');
    expect(words({ failing_since: '2027-01-10T11:00:00Z', last_error: 'timeout' })).toBe('Failing: no answer in time, for 1 h 0 min');
    expect(words({ state: 'paused' })).toMatch(/^Paused/);
    expect(words({ state: 'unreadable' })).toMatch(/^Unreadable/);
  });

  it('says of what it is told', () => {
    expect(toldWord(webhook)).toBe('state changed of env=prod');
    expect(toldWord({ ...webhook, event_types: [], label_selector: '' })).toBe('every event');
  });

  it('says how a delivery ended and why an event was given up', () => {
    const delivery: Delivery = { at: '', event_id: '', event_type: 'WEBHOOK_TEST', cluster_id: '', attempt: 1, outcome: 'delivered', status: 204, error: null, duration_ms: 12 };
    expect(outcomeWord(delivery)).toBe('delivered (204) in 12 ms');
    expect(outcomeWord({ ...delivery, outcome: 'failed', status: 503, error: 'http_status' })).toBe('failed: answered 503, after 12 ms');
    expect(outcomeWord({ ...delivery, outcome: 'failed', status: 302, error: 'redirect' })).toBe('failed: redirects elsewhere (302), after 12 ms');
    expect(outcomeWord({ ...delivery, outcome: 'failed', status: null, error: 'refused' })).toBe('failed: connection refused, after 12 ms');
    expect(outcomeWord({ ...delivery, outcome: 'not_run', status: null, error: 'not_run' })).toBe('not tried: could not be tried here, after 12 ms');
    expect(buriedWord({ reason: 'exhausted', attempts: 12, last_error: 'timeout' })).toBe('tried 12 times: no answer in time');
    expect(buriedWord({ reason: 'expired', attempts: 0, last_error: null })).toBe('too old, never tried');
  });
});

describe('a webhook from a form', () => {
  it('carries everything of a new one, and its secret only where it is its own', () => {
    const form = { ...formOf(undefined), name: ' ops ', url: ' https://hooks.example/in ' };
    expect(bodyOf(form, undefined)).toEqual({ name: 'ops', url: 'https://hooks.example/in', format: 'cloudevents', event_types: [], label_selector: '' });
    expect(bodyOf({ ...form, signing: 'own', secret: ' x '.repeat(1) }, undefined)).toMatchObject({ secret: 'x' });
    expect(bodyOf({ ...form, signing: 'none', secret: 'x' }, undefined)).toMatchObject({ secret: null });
  });

  it('carries only what differs of a known one', () => {
    const form = formOf(webhook);
    expect(bodyOf(form, webhook)).toEqual({});
    expect(bodyOf({ ...form, label_selector: '', event_types: [] }, webhook)).toEqual({ label_selector: '', event_types: [] });
    expect(bodyOf({ ...form, url: 'https://b.example/', name: 'ops-2', signing: 'none' }, webhook)).toEqual({ url: 'https://b.example/', name: 'ops-2', secret: null });
  });

  it('is refused where a secret of its own is missing', () => {
    const refused = () => bodyOf({ ...formOf(undefined), signing: 'own' }, undefined);
    expect(refused).toThrow(ApiError);
    expect(['url', 'event_types', 'colour'].map(fieldOf)).toEqual(['url', 'event_types', '']);
  });

  it('offers to sign with a secret made here unless the receiver is a chat', () => {
    const offered = (known: Webhook | undefined, format: string) => signings(known, format).map(([value]) => value);
    expect(offered(undefined, 'cloudevents')).toEqual(['made', 'own', 'none']);
    expect(offered(undefined, 'slack')).toEqual(['none', 'own']);
    expect(offered(webhook, 'cloudevents')).toEqual(['keep', 'own', 'none']);
    expect(offered({ ...webhook, signed: false }, 'slack')).toEqual(['keep', 'own']);
  });
});
