import { describe, expect, it } from 'vitest';
import { ApiError } from './api';
import { placed } from './placing';

const fieldOf = (path: string) => ({ name: 'name', 'labels.team': 'labels', starts_at: 'from' })[path] ?? '';
const refused = (...fields: string[]) => new ApiError(400, 'INVALID_REQUEST', 'wrong', fields.map((field) => ({ field, message: 'is wrong' })));

describe('what is wrong with a form', () => {
  it('stands beside its field, and what lies within a field is named there', () => {
    expect(placed(refused('name', 'labels.team', 'starts_at'), fieldOf)).toEqual({ wrong: { name: 'is wrong', labels: 'team is wrong', from: 'is wrong' }, rest: '' });
  });

  it('is told once where a field has more than one fault', () => {
    const twice = new ApiError(400, '', 'x', [{ field: 'name', message: 'first' }, { field: 'name', message: 'second' }]);
    expect(placed(twice, fieldOf).wrong).toEqual({ name: 'first' });
  });

  it('is told below the form where it belongs to no field', () => {
    expect(placed(refused('colour', 'name', 'size'), fieldOf)).toEqual({ wrong: { name: 'is wrong' }, rest: 'colour is wrong; size is wrong' });
    expect(placed(new ApiError(503, '', 'The store is away'), fieldOf)).toEqual({ wrong: {}, rest: 'The store is away' });
    expect(placed(new Error('no network'), fieldOf)).toEqual({ wrong: {}, rest: 'no network' });
  });
});
