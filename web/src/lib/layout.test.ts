import { describe, expect, it } from 'vitest';
import { groupBy, hit, layout, spotOf } from './layout';

const range = (count: number, from = 0) => Array.from({ length: count }, (_, at) => at + from);
const sizes = [360, 1440, 3840];

describe('the layout', () => {
  it('fits ten thousand tiles on a common screen', () => {
    const found = layout([{ name: '', members: range(10_000) }], 1400, 780);
    expect(found.height).toBeLessThanOrEqual(780);
    expect(found.pitch).toBeGreaterThanOrEqual(10);
  });

  it.each(sizes)('keeps every group inside %i pixels, and groups apart', (width) => {
    const groups = range(12).map((at) => ({ name: `g${at}`, members: range(30 + at * 40, at * 1_000) }));
    const { groups: placed } = layout(groups, width, 800);
    for (const [at, one] of placed.entries()) {
      expect(one.x + one.width).toBeLessThanOrEqual(width);
      for (const other of placed.slice(at + 1)) {
        const apart = one.x + one.width <= other.x || other.x + other.width <= one.x || one.y + one.height <= other.y || other.y + other.height <= one.y;
        expect(apart, `${one.name} and ${other.name}`).toBe(true);
      }
    }
  });

  it.each(sizes)('finds under the pointer what it put there, at %i pixels', (width) => {
    const groups = groupBy(range(500), (index) => `g${index % 7}`);
    const found = layout(groups, width, 700);
    for (const [at, group] of found.groups.entries()) {
      for (const place of group.members.keys()) {
        const spot = spotOf(group, place, found, true);
        expect(hit(found, true, spot.x + 1, spot.y + 1)).toEqual([at, place]);
      }
    }
    expect(hit(found, true, width + 50, 10)).toBeUndefined();
  });

  it('puts those without a value last', () => {
    expect(groupBy([1, 2, 3], (index) => ['', 'b', 'a'][index - 1]!).map((one) => one.name)).toEqual(['a', 'b', '']);
  });
});
