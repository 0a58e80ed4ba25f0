// Where tiles go: groups one below another, or side by side where they are small, with the largest tiles that fit.

export interface Group {
  name: string;
  members: number[];
}

export interface PlacedGroup extends Group {
  x: number;
  y: number;
  width: number;
  height: number;
  columns: number;
}

export interface Layout {
  groups: PlacedGroup[];
  /** From one tile to the next. */
  pitch: number;
  /** Side of a tile. */
  side: number;
  width: number;
  height: number;
}

export const TITLE_HEIGHT = 22;
const GROUP_GAP = 14;
const MIN_PITCH = 9;
const MAX_PITCH = 40;
/** On walls of screens, which are looked at from further away. */
const MAX_PITCH_OF_WALLS = 88;
const WALL_WIDTH = 2_500;
const MIN_GROUP_WIDTH = 132;

export function gapOf(pitch: number): number {
  return pitch >= 24 ? 4 : pitch >= 14 ? 2 : 1;
}

function place(groups: Group[], width: number, pitch: number, titled: boolean, aspect = 2.6): Layout {
  const gap = gapOf(pitch);
  const title = titled ? TITLE_HEIGHT : 0;
  const placed: PlacedGroup[] = [];
  let [x, y, row] = [0, 0, 0];
  const most = Math.max(1, Math.floor((width + gap) / pitch));
  for (const group of groups) {
    const count = Math.max(1, group.members.length);
    // `aspect` times as wide as high, so that groups stand side by side.
    const wish = titled ? Math.max(Math.ceil(Math.sqrt(count * aspect)), Math.ceil(MIN_GROUP_WIDTH / pitch)) : most;
    const columns = Math.min(most, wish);
    const size = { width: Math.min(width, Math.max(columns * pitch - gap, titled ? MIN_GROUP_WIDTH : 0)), height: title + Math.ceil(count / columns) * pitch - gap };
    if (x > 0 && x + size.width > width) {
      [x, y, row] = [0, y + row + GROUP_GAP, 0];
    }
    placed.push({ ...group, x, y, ...size, columns });
    x += size.width + GROUP_GAP + 8;
    row = Math.max(row, size.height);
  }
  return { groups: placed, pitch, side: pitch - gap, width, height: y + row };
}

/** The layout with the largest tiles whose height is at most `height`, or the smallest tiles where none fits. */
export function layout(groups: Group[], width: number, height: number): Layout {
  const titled = groups.length > 1 || (groups[0]?.name ?? '') !== '';
  let [low, high] = [MIN_PITCH, width > WALL_WIDTH ? MAX_PITCH_OF_WALLS : MAX_PITCH];
  // Groups of another shape may leave less room unused.
  const shapes = titled ? [2.6, 1.2, 1.7, 3.6, 5, 8] : [1];
  const tightest = (pitch: number): Layout => {
    const tried = shapes.map((aspect) => place(groups, width, pitch, titled, aspect));
    return tried.reduce((least, one) => (one.height < least.height ? one : least));
  };
  let best = tightest(low);
  while (low < high) {
    const pitch = Math.ceil((low + high) / 2);
    const tried = tightest(pitch);
    if (tried.height <= height) {
      best = tried;
      low = pitch;
    } else {
      high = pitch - 1;
    }
  }
  return best;
}

export interface Spot {
  x: number;
  y: number;
}

/** Upper left corner of the `at`-th member of a group. */
export function spotOf(placed: PlacedGroup, at: number, layout: Layout, titled: boolean): Spot {
  const title = titled ? TITLE_HEIGHT : 0;
  return {
    x: placed.x + (at % placed.columns) * layout.pitch,
    y: placed.y + title + Math.floor(at / placed.columns) * layout.pitch,
  };
}

/** Which tile is under a point: group and place in it. */
export function hit(layout: Layout, titled: boolean, x: number, y: number): [number, number] | undefined {
  const title = titled ? TITLE_HEIGHT : 0;
  for (const [index, group] of layout.groups.entries()) {
    const [dx, dy] = [x - group.x, y - group.y - title];
    if (dx < 0 || dy < 0 || x > group.x + group.width || y > group.y + group.height) continue;
    const column = Math.floor(dx / layout.pitch);
    const at = Math.floor(dy / layout.pitch) * group.columns + column;
    if (column < group.columns && at < group.members.length) return [index, at];
  }
  return undefined;
}

/** Groups by a key, the troubled first when `rank` says so, else by name; members stay in order. */
export function groupBy(members: number[], keyOf: (index: number) => string): Group[] {
  const groups = new Map<string, number[]>();
  for (const member of members) {
    const key = keyOf(member);
    const known = groups.get(key);
    if (known) known.push(member);
    else groups.set(key, [member]);
  }
  const sorted = [...groups].sort(([a], [b]) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : a > b ? 1 : 0));
  return sorted.map(([name, list]) => ({ name, members: list }));
}
