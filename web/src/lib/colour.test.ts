import { describe, expect, it } from 'vitest';
import sheet from '../app.css?raw';
import { CODE, contrast, fillColour, fillOf, latencyShare, luminance, STATE_FILL, STATE_INK, STATE_OF, STEPS, type Scheme } from './colour';

const SCHEMES: Scheme[] = ['light', 'dark'];
// Machado, Oliveira, Fernandes (2009), severity 1.0, on linear light.
const BLIND: Record<string, number[][]> = {
  none: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
};

function linear(hex: string): number[] {
  return [1, 3, 5].map((at) => {
    const share = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
}

/** Linear light of a colour as somebody sees it. */
function light(hex: string, matrix: number[][]): [number, number, number] {
  const rgb = linear(hex);
  return matrix.map((row) => Math.min(1, Math.max(0, row.reduce((sum, weight, at) => sum + weight * rgb[at]!, 0)))) as [number, number, number];
}

/** OKLab of a colour as somebody sees it. */
function seen(hex: string, matrix: number[][]): number[] {
  const [r, g, b] = light(hex, matrix);
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s, 1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s, 0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s];
}

/** CIE L*a*b* (D65) of a colour as somebody sees it; a distance of 2.3 is just noticeable. */
function lab(hex: string, matrix: number[][]): number[] {
  const [r, g, b] = light(hex, matrix);
  const over = (share: number) => (share > 216 / 24389 ? Math.cbrt(share) : (share * 24389) / 27 / 116 + 16 / 116);
  const x = over((0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047);
  const y = over(0.2126729 * r + 0.7151522 * g + 0.072175 * b);
  const z = over((0.0193339 * r + 0.119192 * g + 0.9503041 * b) / 1.08883);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

describe.each(SCHEMES)('the palette in %s', (scheme) => {
  it.each(Object.keys(BLIND))('keeps states apart for %s', (kind) => {
    for (const [space, least] of [[seen, 0.07], [lab, 15]] as const) {
      const colours = STATE_FILL[scheme].map((colour) => space(colour, BLIND[kind]!));
      for (const [at, one] of colours.entries()) {
        for (const [beside, other] of colours.slice(at + 1).entries()) {
          const distance = Math.hypot(...one.map((value, axis) => value - other[axis]!));
          expect(distance, `${space.name}: ${at} and ${at + 1 + beside}`).toBeGreaterThan(least);
        }
      }
    }
  });

  it('is the same in the style sheet', () => {
    for (const [code, state] of STATE_OF.entries()) {
      const [light, dark] = sheet.match(new RegExp(`--fill-${state.toLowerCase()}: light-dark\\((#\\w+), (#\\w+)\\)`))!.slice(1);
      expect(STATE_FILL[scheme][code]).toBe(scheme === 'light' ? light : dark);
    }
  });

  it('draws glyphs that can be read on their tile', () => {
    for (const code of [CODE.DEGRADED, CODE.OFFLINE, CODE.UNKNOWN]) {
      expect(contrast(STATE_FILL[scheme][code]!, STATE_INK[scheme][code]!)).toBeGreaterThan(4.5);
    }
  });

  it('goes from bad to good without a turn at the ends', () => {
    const first = luminance(fillColour(scheme, 4));
    const last = luminance(fillColour(scheme, 3 + STEPS));
    expect(Math.abs(first - last)).toBeGreaterThan(0.1);
  });
});

it('colours by what was asked for, and leaves the unknown grey', () => {
  expect(fillOf('state', CODE.OFFLINE, 0, 5)).toBe(CODE.OFFLINE);
  expect(fillOf('score', CODE.ONLINE, 100, 5)).toBe(3 + STEPS);
  expect(fillOf('score', CODE.UNKNOWN, 0, -1)).toBe(CODE.UNKNOWN);
  expect(fillOf('latency', CODE.ONLINE, 100, -1)).toBe(CODE.UNKNOWN);
  expect([latencyShare(1), latencyShare(5_000), latencyShare(60_000)]).toEqual([1, 0, 0]);
});
