import { describe, expect, it } from 'vitest';
import { ApiError } from './api';
import { bodyOf, emptyForm, fieldOf, repeatWord, whenWord, whichWord } from './silences';
import type { Silence } from './types';

const now = Date.parse('2027-01-10T12:00:00Z');
const silence: Silence = {
  id: '1', state: 'active', comment: 'new switch', label_selector: 'env=lab', cluster_ids: [], clusters: 2, starts_at: '2027-01-10T11:00:00Z',
  ends_at: '2027-01-10T13:00:00Z', rrule: null, time_zone: 'UTC', current: { from: '2027-01-10T11:00:00Z', to: '2027-01-10T13:00:00Z' }, next: null,
  created_by: null, created_at: '2027-01-10T11:00:00Z', ended_by: null, ended_at: null, may_end: true,
};
const idOf = (name: string) => ({ one: 'id-1', two: 'id-2' })[name];

describe('a silence in words', () => {
  it('says which clusters, when, and how often', () => {
    expect(whichWord(silence)).toBe('env=lab');
    expect(whichWord({ ...silence, cluster_ids: ['a', 'b'] })).toBe('env=lab and 2 named');
    expect(whichWord({ ...silence, label_selector: null })).toBe('–');
    expect(whenWord(silence, now)).toMatch(/^until .*\(1 h 0 min\)$/);
    expect(whenWord({ ...silence, state: 'upcoming', current: null, next: { from: '2027-01-10T14:00:00Z', to: '2027-01-10T15:00:00Z' } }, now)).toMatch(/^from .*\(2 h 0 min\)$/);
    expect(whenWord({ ...silence, state: 'expired', current: null }, now)).toMatch(/^ended /);
    const repeated = (rrule: string) => repeatWord({ ...silence, rrule, time_zone: 'Europe/Berlin' });
    expect(repeatWord(silence)).toBe('once');
    expect(repeated('FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO')).toBe('every 2 weeks on Sunday, Monday (Europe/Berlin)');
    expect(repeated('FREQ=DAILY')).toBe('every day (Europe/Berlin)');
    expect(repeated('FREQ=MONTHLY;BYDAY=1SU')).toBe('FREQ=MONTHLY;BYDAY=1SU (Europe/Berlin)');
  });
});

describe('a silence from a form', () => {
  it('begins now unless told otherwise', () => {
    const form = { ...emptyForm(), comment: ' x ', label_selector: ' env=lab ', hours: '1.5' };
    expect(bodyOf(form, idOf, now)).toEqual({ comment: 'x', label_selector: 'env=lab', ends_at: '2027-01-10T13:30:00.000Z' });
  });

  it('names clusters by their ids and repeats on the clocks of its zone', () => {
    const form = { ...emptyForm('one, two', 'Europe/Berlin'), comment: 'x', repeat: 'weekly' as const };
    const body = bodyOf(form, idOf, now);
    expect(body).toMatchObject({ cluster_ids: ['id-1', 'id-2'], starts_at: '2027-01-10T12:00:00.000Z', rrule: 'FREQ=WEEKLY', time_zone: 'Europe/Berlin' });
  });

  it('is refused with the field that is wrong', () => {
    const fieldsOf = (change: object) => {
      try {
        bodyOf({ ...emptyForm(), ...change }, idOf, now);
      } catch (error) {
        return (error as ApiError).details.map((detail) => detail.field);
      }
      return [];
    };
    expect([fieldsOf({ hours: 'x' }), fieldsOf({ from: 'x' }), fieldsOf({ clusters: 'one nobody' })]).toEqual([['hours'], ['from'], ['clusters']]);
    expect(['cluster_ids[3]', 'ends_at', 'starts_at', 'rrule', 'colour'].map(fieldOf)).toEqual(['clusters', 'hours', 'from', 'rrule', '']);
  });
});
