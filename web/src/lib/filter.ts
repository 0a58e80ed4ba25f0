// The filter box: words that all must match. `web-` part of a name, `team=data` a label or field, `state:offline`.

import type { TileSpec, State } from './types';

export interface Subject extends Omit<TileSpec, 'generation'> {
  state: State;
  stale: boolean;
  flapping: boolean;
  silenced: boolean;
  health_score: number;
  latency_ms: number | null;
  reason: string;
}

export type Test = (subject: Subject) => boolean;
export interface Filter {
  test: Test;
  /** Words that say nothing, with the reason. */
  problems: string[];
}

const FIELDS: Record<string, (s: Subject) => string> = {
  state: (s) => s.state,
  region: (s) => s.region ?? '',
  env: (s) => s.environment,
  environment: (s) => s.environment,
  type: (s) => s.cluster_type,
  platform: (s) => s.platform,
  reason: (s) => s.reason,
  name: (s) => s.name,
};
const NUMBERS: Record<string, (s: Subject) => number | null> = {
  score: (s) => s.health_score,
  latency: (s) => s.latency_ms,
};
const FLAGS: Record<string, (s: Subject) => boolean> = { stale: (s) => s.stale, flapping: (s) => s.flapping, silenced: (s) => s.silenced };

const COMPARE: Record<string, (a: number, b: number) => boolean> = {
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
};

/** Splits at blanks outside double quotes. */
function words(text: string): string[] {
  return (text.match(/(?:[^\s"]+|"[^"]*"?)+/g) ?? []).map((word) => word.replaceAll('"', '')).filter(Boolean);
}

function numeric(word: string): Test | undefined {
  const match = /^(score|latency)(<=|>=|<|>)(\d+(?:\.\d+)?)$/i.exec(word);
  if (!match) return undefined;
  const read = NUMBERS[match[1]!.toLowerCase()]!;
  const holds = COMPARE[match[2]!]!;
  const bound = Number(match[3]);
  return (subject) => {
    const value = read(subject);
    return value !== null && holds(value, bound);
  };
}

function field(word: string): Test | string | undefined {
  const colon = word.indexOf(':');
  if (colon <= 0) return undefined;
  const [key, value] = [word.slice(0, colon).toLowerCase(), word.slice(colon + 1).toLowerCase()];
  if (key === 'is') {
    return FLAGS[value] ?? (value === '' ? () => true : `is:${value} is not known; try is:stale, is:flapping or is:silenced`);
  }
  const read = FIELDS[key];
  if (!read) return `${key}: is not known; try ${Object.keys(FIELDS).join(', ')}`;
  const wanted = value.split(',').filter(Boolean);
  return (subject) => wanted.length === 0 || wanted.some((one) => read(subject).toLowerCase().startsWith(one));
}

function label(word: string): Test | undefined {
  const match = /^([^=!<>]+)(!?=)(.*)$/.exec(word);
  if (!match) return undefined;
  const [, key, sign, value] = match as unknown as [string, string, string, string];
  const has = (subject: Subject) => subject.labels[key] === value;
  return sign === '=' ? has : (subject) => !has(subject);
}

function name(word: string): Test {
  const part = word.toLowerCase();
  return (subject) => subject.name.includes(part) || (subject.display_name ?? '').toLowerCase().includes(part);
}

export function parseFilter(text: string): Filter {
  const tests: Test[] = [];
  const problems: string[] = [];
  for (const given of words(text)) {
    const negated = given.startsWith('-') && given.length > 1;
    const word = negated ? given.slice(1) : given;
    const found = numeric(word) ?? label(word) ?? field(word) ?? name(word);
    if (typeof found === 'string') {
      problems.push(found);
      continue;
    }
    tests.push(negated ? (subject) => !found(subject) : found);
  }
  return { test: (subject) => tests.every((test) => test(subject)), problems };
}
