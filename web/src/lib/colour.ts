// Colours and glyphs of tiles. States differ in lightness as well as in hue (checked for the three common kinds of colour
// blindness in colour.test.ts), and each has a glyph of its own.

import type { State } from './types';

export type Scheme = 'light' | 'dark';
export type ColourBy = 'state' | 'score' | 'latency';
export const COLOUR_BY: ColourBy[] = ['state', 'score', 'latency'];

/** Codes in typed arrays. */
export const CODE: Record<State, number> = { UNKNOWN: 0, ONLINE: 1, DEGRADED: 2, OFFLINE: 3 };
export const STATE_OF: State[] = ['UNKNOWN', 'ONLINE', 'DEGRADED', 'OFFLINE'];

/** By code. */
export const STATE_FILL: Record<Scheme, string[]> = {
  light: ['#d0d6dd', '#5fb3a5', '#f0b429', '#a8123e'],
  dark: ['#9aa5b1', '#1b5f58', '#f2b63c', '#ff5c7a'],
};
/** By code. */
export const STATE_INK: Record<Scheme, string[]> = {
  light: ['#29313a', '#0b3b36', '#3d2c00', '#ffffff'],
  dark: ['#10161d', '#c9f2ea', '#2b1e00', '#2a000a'],
};

/** From bad (0) to good (1); dark red-violet over amber to teal, monotone in lightness. */
const RAMP: Record<Scheme, [number, number, number][]> = {
  light: [[122, 16, 62], [200, 70, 50], [238, 160, 50], [190, 210, 120], [120, 195, 180]],
  dark: [[255, 92, 122], [245, 140, 80], [230, 185, 70], [110, 160, 100], [27, 95, 88]],
};

export const STEPS = 24;

export function ramp(scheme: Scheme, share: number): string {
  const stops = RAMP[scheme];
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(at), stops.length - 2);
  const part = at - low;
  const mix = [0, 1, 2].map((c) => Math.round(stops[low]![c]! * (1 - part) + stops[low + 1]![c]! * part));
  return `rgb(${mix.join(' ')})`;
}

/** Share of goodness of a latency: 1 at 10 ms and below, 0 at 5 s and above, logarithmic. */
export function latencyShare(ms: number): number {
  return 1 - Math.min(Math.max(Math.log10(Math.max(ms, 1) / 10) / Math.log10(500), 0), 1);
}

/** Which fill a tile has: 0–3 a state, 4 and above a step of the ramp. */
export function fillOf(by: ColourBy, code: number, score: number, latency: number): number {
  if (by === 'state' || code === 0) return code;
  if (by === 'score') return 4 + Math.round((score / 100) * (STEPS - 1));
  return latency < 0 ? 0 : 4 + Math.round(latencyShare(latency) * (STEPS - 1));
}

export function fillColour(scheme: Scheme, fill: number): string {
  return fill < 4 ? STATE_FILL[scheme][fill]! : ramp(scheme, (fill - 4) / (STEPS - 1));
}

function channels(colour: string): [number, number, number] {
  if (colour.startsWith('#')) return [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)) as [number, number, number];
  return colour.match(/\d+/g)!.slice(0, 3).map(Number) as [number, number, number];
}

/** Relative luminance of WCAG. */
export function luminance(colour: string): number {
  const [r, g, b] = channels(colour).map((c) => {
    const share = c / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function contrast(a: string, b: string): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

export function inkOn(colour: string): string {
  return contrast(colour, '#ffffff') > contrast(colour, '#10161d') ? '#ffffff' : '#10161d';
}
