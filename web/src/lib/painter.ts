// Draws the fleet map on a canvas: every kind of tile once as a sprite, every tile once as a copy, and after that only
// tiles that changed.

import { fillColour, fillOf, inkOn, STATE_INK, type ColourBy, type Scheme } from './colour';
import type { Fleet } from './fleet';
import { spotOf, TITLE_HEIGHT, type Layout } from './layout';

const FLASH_MS = 2_400;

export class Painter {
  layout: Layout = { groups: [], pitch: 10, side: 9, width: 0, height: 0 };
  titled = false;
  by: ColourBy = 'state';
  scheme: Scheme = 'light';
  /** The stream is lost: every tile is old. */
  allStale = false;
  still = false;
  focused = -1;
  private readonly context: CanvasRenderingContext2D;
  private readonly sprites = new Map<number, HTMLCanvasElement>();
  private xs = new Float32Array(0);
  private ys = new Float32Array(0);
  private readonly dirty = new Set<number>();
  private readonly flashing = new Set<number>();
  private frame = 0;
  private whole = true;
  private ratio = 1;
  /** Size of letters, of 12 pixels. */
  private letters = 1;
  /** How many tiles were drawn, for tests that watch the work. */
  drawn = 0;

  constructor(private readonly canvas: HTMLCanvasElement, private readonly fleet: Fleet) {
    this.context = canvas.getContext('2d')!;
  }

  /** Takes a new layout or look, and draws everything in the next frame. */
  arrange(layout: Layout, titled: boolean): void {
    this.layout = layout;
    this.titled = titled;
    this.ratio = Math.min(window.devicePixelRatio || 1, 3);
    const [width, height] = [Math.ceil(layout.width), Math.ceil(layout.height + 4)];
    if (this.canvas.width !== Math.round(width * this.ratio) || this.canvas.height !== Math.round(height * this.ratio)) {
      this.canvas.width = Math.round(width * this.ratio);
      this.canvas.height = Math.round(height * this.ratio);
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    this.xs = new Float32Array(this.fleet.ids.length).fill(-1);
    this.ys = new Float32Array(this.fleet.ids.length);
    for (const group of layout.groups) {
      for (const [at, index] of group.members.entries()) {
        const spot = spotOf(group, at, layout, titled);
        this.xs[index] = spot.x;
        this.ys[index] = spot.y;
      }
    }
    this.redraw();
  }

  redraw(): void {
    this.sprites.clear();
    this.whole = true;
    this.ask();
  }

  touch(indices: readonly number[]): void {
    for (const index of indices) this.dirty.add(index);
    this.ask();
  }

  spot(index: number): { x: number; y: number } | undefined {
    const x = this.xs[index];
    return x === undefined || x < 0 ? undefined : { x, y: this.ys[index]! };
  }

  stop(): void {
    cancelAnimationFrame(this.frame);
    this.frame = -1;
  }

  private ask(): void {
    if (this.frame === 0) this.frame = requestAnimationFrame((now) => this.draw(now));
  }

  private draw(now: number): void {
    if (this.frame === -1) return;
    this.frame = 0;
    this.context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    if (this.whole) this.drawAll(now);
    else for (const index of new Set([...this.dirty, ...this.flashing])) this.tile(index, now);
    this.whole = false;
    this.dirty.clear();
    if (this.flashing.size > 0) this.ask();
  }

  private drawAll(now: number): void {
    this.context.clearRect(0, 0, this.layout.width + 8, this.layout.height + 8);
    this.flashing.clear();
    const style = getComputedStyle(this.canvas);
    this.letters = Math.min(Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / 14, 1.5);
    for (const group of this.layout.groups) {
      if (this.titled) this.title(group.name || 'none', group.members.length, group.x, group.y, group.width, style);
      for (const index of group.members) this.tile(index, now);
    }
  }

  private title(name: string, members: number, x: number, y: number, width: number, style: CSSStyleDeclaration): void {
    const context = this.context;
    context.textBaseline = 'alphabetic';
    context.font = `600 ${12 * this.letters}px ${style.fontFamily}`;
    context.fillStyle = style.color;
    const number = ` ${members}`;
    const room = width - context.measureText(number).width - 4;
    let shown = name;
    while (shown.length > 3 && context.measureText(shown).width > room) shown = `${shown.slice(0, -2)}…`;
    context.fillText(shown, x, y + TITLE_HEIGHT - 8);
    const after = x + context.measureText(shown).width;
    context.font = `400 ${12 * this.letters}px ${style.fontFamily}`;
    context.globalAlpha = 0.62;
    context.fillText(number, after + 2, y + TITLE_HEIGHT - 8);
    context.globalAlpha = 1;
  }

  private tile(index: number, now: number): void {
    const [x, y, pitch] = [this.xs[index] ?? -1, this.ys[index] ?? 0, this.layout.pitch];
    if (x < 0) return;
    this.drawn += 1;
    const { context, fleet } = this;
    const gap = pitch - this.layout.side;
    context.clearRect(x - gap / 2, y - gap / 2, pitch, pitch);
    const stale = this.allStale || fleet.isStale(index);
    const fill = fillOf(this.by, fleet.state[index]!, fleet.score[index]!, fleet.latency[index]!);
    context.drawImage(this.sprite(fill, fleet.state[index]!, stale), x, y, this.layout.side, this.layout.side);
    this.ring(index, x, y, now);
  }

  private ring(index: number, x: number, y: number, now: number): void {
    const age = now - this.fleet.changedAt[index]!;
    const young = this.fleet.changedAt[index]! > 0 && age < FLASH_MS;
    if (young) this.flashing.add(index);
    else this.flashing.delete(index);
    if (!young && index !== this.focused) return;
    const { context } = this;
    const side = this.layout.side;
    const width = Math.max(1, Math.min(3, side / 8));
    context.lineWidth = width;
    context.strokeStyle = this.scheme === 'dark' ? '#ffffff' : '#10161d';
    context.globalAlpha = index === this.focused || this.still ? 1 : Math.min(1, 1.4 * (1 - Math.max(age, 0) / FLASH_MS));
    context.strokeRect(x + width / 2, y + width / 2, side - width, side - width);
    context.globalAlpha = 1;
  }

  private sprite(fill: number, code: number, stale: boolean): HTMLCanvasElement {
    const key = fill * 8 + code * 2 + (stale ? 1 : 0);
    let made = this.sprites.get(key);
    if (!made) {
      made = this.paint(fill, code, stale);
      this.sprites.set(key, made);
    }
    return made;
  }

  private paint(fill: number, code: number, stale: boolean): HTMLCanvasElement {
    const sprite = document.createElement('canvas');
    const side = this.layout.side;
    sprite.width = sprite.height = Math.max(1, Math.round(side * this.ratio));
    const context = sprite.getContext('2d')!;
    context.scale(sprite.width / side, sprite.height / side);
    const colour = fillColour(this.scheme, fill);
    context.beginPath();
    context.roundRect(0, 0, side, side, Math.min(5, side * 0.18));
    context.clip();
    context.fillStyle = colour;
    context.globalAlpha = stale ? 0.45 : 1;
    context.fillRect(0, 0, side, side);
    context.globalAlpha = 1;
    const ink = fill < 4 && !stale ? STATE_INK[this.scheme][code]! : fill < 4 ? (this.scheme === 'dark' ? '#ffffff' : '#10161d') : inkOn(colour);
    if (stale) hatch(context, side, ink);
    glyph(context, code, side, ink);
    return sprite;
  }
}

function hatch(context: CanvasRenderingContext2D, side: number, ink: string): void {
  context.strokeStyle = ink;
  context.globalAlpha = 0.4;
  context.lineWidth = Math.max(0.7, side / 18);
  const step = Math.max(3, side / 5);
  context.beginPath();
  for (let at = -side; at < side * 2; at += step) {
    context.moveTo(at, side);
    context.lineTo(at + side, 0);
  }
  context.stroke();
  context.globalAlpha = 1;
}

/** Shapes that stay apart even in grey and at nine pixels; ONLINE is the quiet one. */
function glyph(context: CanvasRenderingContext2D, code: number, side: number, ink: string): void {
  const at = (share: number) => share * side;
  context.strokeStyle = context.fillStyle = ink;
  context.lineWidth = Math.max(1.1, side * 0.1);
  context.lineCap = side > 14 ? 'round' : 'butt';
  context.beginPath();
  if (code === 3) {
    context.moveTo(at(0.28), at(0.28));
    context.lineTo(at(0.72), at(0.72));
    context.moveTo(at(0.72), at(0.28));
    context.lineTo(at(0.28), at(0.72));
    context.stroke();
  } else if (code === 2) {
    context.moveTo(at(0.5), at(0.22));
    context.lineTo(at(0.8), at(0.76));
    context.lineTo(at(0.2), at(0.76));
    context.fill();
  } else if (code === 0) {
    context.arc(at(0.5), at(0.5), at(0.22), 0, Math.PI * 2);
    context.stroke();
  } else if (side >= 15) {
    context.globalAlpha = 0.55;
    context.lineWidth = Math.max(1.1, side * 0.075);
    context.moveTo(at(0.33), at(0.52));
    context.lineTo(at(0.45), at(0.64));
    context.lineTo(at(0.67), at(0.38));
    context.stroke();
    context.globalAlpha = 1;
  }
}
