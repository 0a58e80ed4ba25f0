// Webhooks as people read and write them. Pure.

import { ApiError } from './api';
import { ago, eventWord, millis, reasonWord, span } from './format';
import type { Delivery, State, Webhook } from './types';

export interface WebhookForm {
  name: string;
  url: string;
  format: 'cloudevents' | 'slack';
  /** `keep` only where there is something to keep. */
  signing: 'keep' | 'made' | 'own' | 'none';
  secret: string;
  /** None: all of them. */
  event_types: string[];
  label_selector: string;
}

export const FORMATS: [string, string][] = [['cloudevents', 'CloudEvents 1.0 (JSON)'], ['slack', 'Slack, Mattermost, Rocket.Chat']];

/** How the messages of a webhook can be signed; known ones can stay as they are. */
export function signings(known: Webhook | undefined, format: string): [string, string][] {
  const own: [string, string][] = [['own', 'with a secret of my own'], ['none', 'not at all']];
  if (known) return [['keep', known.signed ? 'as before' : 'not at all, as before'], ...(known.signed ? own : own.slice(0, 1))];
  return format === 'slack' ? [...own].reverse() : [['made', 'with a secret made here'], ...own];
}

export function formOf(webhook: Webhook | undefined): WebhookForm {
  if (!webhook) return { name: '', url: '', format: 'cloudevents', signing: 'made', secret: '', event_types: [], label_selector: '' };
  const { name, format, event_types, label_selector } = webhook;
  // Where it leads is known in part only: left empty, it stays.
  return { name, url: '', format, signing: 'keep', secret: '', event_types: [...event_types], label_selector };
}

/** The body of the request: all of a new webhook, what differs of a known one. */
export function bodyOf(form: WebhookForm, known: Webhook | undefined): Record<string, unknown> {
  if (form.signing === 'own' && form.secret.trim() === '') throw new ApiError(400, '', 'secret is required', [{ field: 'secret', message: 'is required' }]);
  const before = formOf(known);
  const differs = (key: 'name' | 'format' | 'event_types' | 'label_selector') => !known || String(before[key]) !== String(form[key]);
  const trimmed = { name: form.name.trim(), url: form.url.trim(), label_selector: form.label_selector.trim() };
  return {
    ...(differs('name') && trimmed.name !== '' ? { name: trimmed.name } : {}),
    ...(trimmed.url === '' ? {} : { url: trimmed.url }),
    ...(differs('format') ? { format: form.format } : {}),
    ...(differs('event_types') ? { event_types: form.event_types } : {}),
    ...(differs('label_selector') ? { label_selector: trimmed.label_selector } : {}),
    ...(form.signing === 'own' ? { secret: form.secret.trim() } : form.signing === 'none' ? { secret: null } : {}),
  };
}

const FIELDS = ['name', 'url', 'format', 'secret', 'event_types', 'label_selector'];

/** The input that a field of the API's errors belongs to; empty for none. */
export function fieldOf(path: string): string {
  return FIELDS.includes(path) ? path : '';
}

/** Why a delivery failed. */
function whyWord(error: string | null, status: number | null): string {
  if (error === 'http_status' && status !== null) return `answered ${status}`;
  if (error === 'redirect') return `redirects elsewhere${status === null ? '' : ` (${status})`}`;
  if (error === 'not_run') return 'could not be tried here';
  return error === null ? '' : reasonWord(error);
}

export interface Standing {
  /** Whose sign stands for it. */
  sign: State;
  word: string;
  detail: string;
}

/** How a webhook does, in a word and in a few more. */
export function standingOf({ status }: Webhook, now: number): Standing {
  const why = whyWord(status.last_error, null);
  if (status.state === 'paused') return { sign: 'UNKNOWN', word: 'Paused', detail: 'told nothing until it is resumed' };
  if (status.state === 'unreadable') return { sign: 'OFFLINE', word: 'Unreadable', detail: 'no known key opens its address: set it again' };
  if (status.state === 'retrying') {
    const due = status.next_attempt_at === null ? 0 : Date.parse(status.next_attempt_at) - now;
    const next = due > 1_000 ? `again in ${span(due)}` : 'again now';
    return { sign: 'DEGRADED', word: 'Retrying', detail: `${why}; tried ${status.attempts === 1 ? 'once' : `${status.attempts} times`}, ${next}` };
  }
  if (status.failing_since !== null) return { sign: 'DEGRADED', word: 'Failing', detail: `${why}, for ${span(now - Date.parse(status.failing_since))}` };
  const last = status.last_delivered_at;
  return { sign: 'ONLINE', word: 'Healthy', detail: last === null ? 'nothing delivered since the start' : `last delivered ${ago(last, now)}` };
}

/** Of what a webhook is told. */
export function toldWord(webhook: Webhook): string {
  const types = webhook.event_types.length === 0 ? 'every event' : webhook.event_types.map(eventWord).join(', ');
  return webhook.label_selector === '' ? types : `${types} of ${webhook.label_selector}`;
}

export function outcomeWord(delivery: Delivery): string {
  const took = millis(delivery.duration_ms);
  if (delivery.outcome === 'delivered') return `delivered (${delivery.status}) in ${took}`;
  return `${delivery.outcome === 'failed' ? 'failed' : 'not tried'}: ${whyWord(delivery.error, delivery.status)}, after ${took}`;
}

/** Why an event was given up. */
export function buriedWord(letter: { reason: string; attempts: number; last_error: string | null }): string {
  const tried = letter.attempts === 0 ? 'never tried' : letter.attempts === 1 ? 'tried once' : `tried ${letter.attempts} times`;
  const why = whyWord(letter.last_error, null);
  return `${letter.reason === 'expired' ? `too old, ${tried}` : tried}${why === '' ? '' : `: ${why}`}`;
}
