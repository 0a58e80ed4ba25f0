// What is wrong with a form, as the API tells it: each thing beside its field. Pure.

import { ApiError, wording } from './api';

export interface Placed {
  /** By field of the form. */
  wrong: Record<string, string>;
  /** What belongs to no field. */
  rest: string;
}

/** `fieldOf` names the field of the form that a path of the API belongs to; empty for none. */
export function placed(error: unknown, fieldOf: (path: string) => string): Placed {
  const details = error instanceof ApiError ? error.details : [];
  if (details.length === 0) return { wrong: {}, rest: wording(error) };
  const wrong: Record<string, string> = {};
  const rest: string[] = [];
  for (const { field, message } of details) {
    const key = fieldOf(field);
    // What lies within a field is named: `labels.team` at the labels.
    const said = key !== '' && field.startsWith(`${key}.`) ? `${field.slice(key.length + 1)} ${message}` : message;
    if (key === '') rest.push(`${field} ${message}`);
    else wrong[key] ??= said;
  }
  return { wrong, rest: rest.join('; ') };
}
