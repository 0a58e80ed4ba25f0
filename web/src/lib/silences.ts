// Silences as people read and write them. Pure.

import { ApiError } from './api';
import { span, stamp } from './format';
import type { Silence } from './types';

export interface SilenceForm {
  comment: string;
  label_selector: string;
  /** Names, separated by commas. */
  clusters: string;
  /** Local time as an input of type datetime-local has it; empty is now. */
  from: string;
  hours: string;
  repeat: 'never' | 'daily' | 'weekly' | 'monthly' | 'rule';
  rrule: string;
  time_zone: string;
}

export const REPEATS: Record<SilenceForm['repeat'], string> = { never: 'never', daily: 'every day', weekly: 'every week', monthly: 'every month', rule: 'by a rule' };

const RULES: Record<string, string> = { daily: 'FREQ=DAILY', weekly: 'FREQ=WEEKLY', monthly: 'FREQ=MONTHLY' };

export function emptyForm(cluster = '', time_zone = 'UTC'): SilenceForm {
  return { comment: '', label_selector: '', clusters: cluster, from: '', hours: '2', repeat: 'never', rrule: '', time_zone };
}

function wrong(field: string, message: string): ApiError {
  return new ApiError(400, 'INVALID_REQUEST', `${field} ${message}`, [{ field, message }]);
}

/** The body of the request; what cannot be said at all is refused with the name of its field. */
export function bodyOf(form: SilenceForm, idOf: (name: string) => string | undefined, now: number): Record<string, unknown> {
  const hours = Number(form.hours);
  if (!(hours > 0)) throw wrong('hours', 'must be a number above 0');
  const begin = form.from === '' ? now : new Date(form.from).getTime();
  if (Number.isNaN(begin)) throw wrong('from', 'must be a time');
  const names = form.clusters.split(/[,\s]+/).filter((name) => name !== '');
  const cluster_ids = names.map((name) => {
    const id = idOf(name);
    if (id === undefined) throw wrong('clusters', `must be names of clusters; there is no ${name}`);
    return id;
  });
  const rrule = form.repeat === 'rule' ? form.rrule.trim() : RULES[form.repeat];
  return {
    comment: form.comment.trim(),
    ...(form.label_selector.trim() === '' ? {} : { label_selector: form.label_selector.trim() }),
    ...(cluster_ids.length === 0 ? {} : { cluster_ids }),
    ...(form.from === '' && rrule === undefined ? {} : { starts_at: new Date(begin).toISOString() }),
    ends_at: new Date(begin + hours * 3_600_000).toISOString(),
    ...(rrule === undefined ? {} : { rrule, time_zone: form.time_zone.trim() }),
  };
}

/** The input that a field of the API's errors belongs to; empty for none. */
export function fieldOf(field: string): string {
  if (field.startsWith('cluster_ids')) return 'clusters';
  const own: Record<string, string> = { starts_at: 'from', ends_at: 'hours' };
  const known = ['comment', 'label_selector', 'clusters', 'from', 'hours', 'rrule', 'time_zone'];
  const key = own[field] ?? field;
  return known.includes(key) ? key : '';
}

/** Which clusters a silence concerns. */
export function whichWord(silence: Silence): string {
  const ids = silence.cluster_ids.length;
  const listed = ids === 0 ? '' : `${ids} named`;
  return [silence.label_selector ?? '', listed].filter((part) => part !== '').join(' and ') || '–';
}

/** When it holds, or held. */
export function whenWord(silence: Silence, now: number): string {
  const until = (at: string) => `${stamp(at)} (${span(Math.abs(Date.parse(at) - now))})`;
  if (silence.state === 'active' && silence.current) return `until ${until(silence.current.to)}`;
  if (silence.next) return `from ${until(silence.next.from)}`;
  return `ended ${stamp(silence.ended_at ?? silence.ends_at)}`;
}

const DAYS: Record<string, string> = { MO: 'Monday', TU: 'Tuesday', WE: 'Wednesday', TH: 'Thursday', FR: 'Friday', SA: 'Saturday', SU: 'Sunday' };
const UNITS: Record<string, string> = { DAILY: 'day', WEEKLY: 'week', MONTHLY: 'month', YEARLY: 'year' };

/** How it repeats, in words where the rule is a plain one. */
export function repeatWord(silence: Silence): string {
  if (silence.rrule === null) return 'once';
  const parts = new Map(silence.rrule.split(';').map((part) => part.split('=') as [string, string]));
  const unit = UNITS[parts.get('FREQ') ?? ''];
  const days = (parts.get('BYDAY') ?? '').split(',').filter((day) => day !== '');
  const plain = [...parts.keys()].every((key) => ['FREQ', 'INTERVAL', 'BYDAY'].includes(key)) && days.every((day) => day in DAYS);
  if (!unit || !plain) return `${silence.rrule} (${silence.time_zone})`;
  const interval = Number(parts.get('INTERVAL') ?? '1');
  const every = interval > 1 ? `every ${interval} ${unit}s` : `every ${unit}`;
  const on = days.length > 0 ? ` on ${days.map((day) => DAYS[day]).join(', ')}` : '';
  return `${every}${on} (${silence.time_zone})`;
}
