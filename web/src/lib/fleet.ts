// The fleet in the browser: numbers in typed arrays, outside the framework's reactivity. Whoever draws asks which
// tiles changed since it drew last; whoever counts reads the totals.

import { CODE, STATE_OF } from './colour';
import type { Subject } from './filter';
import type { FleetEvent, State, Tile, TileSpec } from './types';

const STALE = 1;
const FLAPPING = 2;
const SILENCED = 4;

export interface Totals {
  clusters: number;
  /** By code. */
  states: [number, number, number, number];
  stale: number;
  flapping: number;
  score: number;
}

export type Change = 'tiles' | 'roll';
type Listener = (change: Change, indices: readonly number[]) => void;

const time = (text: string | null | undefined) => (text ? Date.parse(text) : 0);

export class Fleet {
  state = new Uint8Array(1024);
  score = new Uint8Array(1024);
  flags = new Uint8Array(1024);
  /** Milliseconds; −1 while unknown. */
  latency = new Int32Array(1024);
  since = new Float64Array(1024);
  checked = new Float64Array(1024);
  generation = new Float64Array(1024);
  /** When the state was seen to change here, of the page's clock. */
  changedAt = new Float64Array(1024);
  readonly ids: string[] = [];
  readonly specs: TileSpec[] = [];
  readonly reasons: string[] = [];
  /** Indices of clusters that are there, in the order of their names. */
  order: number[] = [];
  private readonly byId = new Map<string, number>();
  private readonly byName = new Map<string, number>();
  private readonly free: number[] = [];
  private readonly listeners = new Set<Listener>();
  /** Checks seen so far. */
  checksSeen = 0;

  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  indexOf(id: string): number | undefined {
    return this.byId.get(id);
  }

  indexOfName(name: string): number | undefined {
    return this.byName.get(name);
  }

  isStale(index: number): boolean {
    return (this.flags[index]! & STALE) !== 0;
  }

  isFlapping(index: number): boolean {
    return (this.flags[index]! & FLAPPING) !== 0;
  }

  isSilenced(index: number): boolean {
    return (this.flags[index]! & SILENCED) !== 0;
  }

  stateOf(index: number): State {
    return STATE_OF[this.state[index]!]!;
  }

  subject(index: number): Subject {
    const latency = this.latency[index]!;
    return {
      ...this.specs[index]!,
      state: this.stateOf(index),
      stale: this.isStale(index),
      flapping: this.isFlapping(index),
      silenced: this.isSilenced(index),
      health_score: this.score[index]!,
      latency_ms: latency < 0 ? null : latency,
      reason: this.reasons[index]!,
    };
  }

  totals(): Totals {
    const totals: Totals = { clusters: this.order.length, states: [0, 0, 0, 0], stale: 0, flapping: 0, score: 0 };
    let [sum, scored] = [0, 0];
    for (const index of this.order) {
      const code = this.state[index]!;
      totals.states[code] = (totals.states[code] ?? 0) + 1;
      if (this.isStale(index)) totals.stale += 1;
      if (this.isFlapping(index)) totals.flapping += 1;
      if (code !== CODE.UNKNOWN) {
        sum += this.score[index]!;
        scored += 1;
      }
    }
    totals.score = scored > 0 ? sum / scored : 0;
    return totals;
  }

  /** The whole fleet as the server has it; what is not in it is gone. */
  replace(tiles: Tile[]): void {
    const present = new Set(tiles.map((tile) => tile.id));
    for (const id of [...this.byId.keys()]) if (!present.has(id)) this.drop(id);
    for (const tile of tiles) {
      const index = this.byId.get(tile.id) ?? this.enrol(tile.id);
      if (tile.name !== undefined) this.describe(index, tile as TileSpec);
      this.show(index, tile);
    }
    this.sort();
    this.tell('roll', this.order);
  }

  /** What was checked lately. */
  refresh(tiles: Tile[]): void {
    const changed: number[] = [];
    for (const tile of tiles) {
      const index = this.byId.get(tile.id);
      if (index !== undefined && this.show(index, tile)) changed.push(index);
    }
    if (changed.length > 0) this.tell('tiles', changed);
  }

  /** News of the event log. What the tiles know already, or know better, changes nothing. */
  apply(events: readonly FleetEvent[]): void {
    const changed: number[] = [];
    let rolled = false;
    for (const event of events) {
      if (event.event_type === 'CLUSTER_STATUS_CHANGED') {
        const index = this.turn(event);
        if (index !== undefined) changed.push(index);
      } else if (event.event_type === 'CLUSTER_DELETED') {
        rolled = this.drop(event.cluster_id) || rolled;
      } else if (event.event_type === 'CLUSTER_REGISTERED' || event.event_type === 'CLUSTER_UPDATED') {
        rolled = this.register(event) || rolled;
      }
    }
    if (rolled) {
      this.sort();
      this.tell('roll', this.order);
    }
    if (changed.length > 0) this.tell('tiles', changed);
  }

  /** Status changed here without a word of the server: the stream is lost, so nothing may look fresh. */
  touchAll(): void {
    this.tell('tiles', this.order);
  }

  private turn(event: FleetEvent): number | undefined {
    const index = this.byId.get(event.cluster_id);
    const at = time(event.timestamp);
    if (index === undefined || at < Math.floor(this.since[index]!)) return undefined;
    const code = CODE[event.payload.new_state as State];
    if (code === undefined) return undefined;
    if (this.state[index] !== code) this.changedAt[index] = performance.now();
    this.state[index] = code;
    this.since[index] = at;
    this.score[index] = Number(event.payload.health_score ?? 0);
    this.reasons[index] = String(event.payload.reason ?? '').replace('recovered', 'healthy');
    return index;
  }

  private register(event: FleetEvent): boolean {
    const spec = event.payload as unknown as TileSpec;
    const known = this.byId.get(event.cluster_id);
    if (known !== undefined && this.generation[known]! >= spec.generation) return false;
    const index = known ?? this.enrol(event.cluster_id);
    if (known === undefined) {
      this.show(index, { id: event.cluster_id, state: 'UNKNOWN', health_score: 0, latency_ms: null, stale: false, flapping: false, since: event.timestamp, last_check_at: null, reason: 'not_checked' });
    }
    this.describe(index, spec);
    return true;
  }

  private enrol(id: string): number {
    const index = this.free.pop() ?? this.ids.length;
    if (index >= this.state.length) this.grow();
    this.ids[index] = id;
    this.since[index] = 0;
    this.checked[index] = 0;
    this.changedAt[index] = 0;
    this.generation[index] = -1;
    this.reasons[index] = '';
    this.byId.set(id, index);
    return index;
  }

  private drop(id: string): boolean {
    const index = this.byId.get(id);
    if (index === undefined) return false;
    this.byId.delete(id);
    this.byName.delete(this.specs[index]!.name);
    this.ids[index] = '';
    this.free.push(index);
    return true;
  }

  private describe(index: number, spec: TileSpec): void {
    const { name, display_name, cluster_type, platform, region, environment, labels, generation } = spec;
    this.specs[index] = { name, display_name, cluster_type, platform, region, environment, labels, generation };
    this.generation[index] = generation;
    this.byName.set(name, index);
  }

  /** True when it looks different now. */
  private show(index: number, tile: Tile): boolean {
    const since = time(tile.since);
    if (since < Math.floor(this.since[index]!)) return false;
    const checked = time(tile.last_check_at);
    if (checked > this.checked[index]!) this.checksSeen += 1;
    const [code, latency] = [CODE[tile.state], tile.latency_ms ?? -1];
    const flags = (tile.stale ? STALE : 0) | (tile.flapping ? FLAPPING : 0) | (tile.silenced ? SILENCED : 0);
    const same =
      this.state[index] === code && this.score[index] === tile.health_score && this.flags[index] === flags && this.latency[index] === latency;
    if (this.state[index] !== code && this.since[index]! > 0) this.changedAt[index] = performance.now();
    this.state[index] = code;
    this.score[index] = tile.health_score;
    this.flags[index] = flags;
    this.latency[index] = latency;
    this.since[index] = since;
    this.checked[index] = checked;
    this.reasons[index] = tile.reason;
    return !same;
  }

  private sort(): void {
    this.order = [...this.byId.values()].sort((a, b) => {
      const [x, y] = [this.specs[a]!.name, this.specs[b]!.name];
      return x < y ? -1 : x > y ? 1 : 0;
    });
  }

  private grow(): void {
    const size = this.state.length * 2;
    const wider = <T extends Uint8Array | Int32Array | Float64Array>(made: T, old: T): T => (made.set(old as never), made);
    this.state = wider(new Uint8Array(size), this.state);
    this.score = wider(new Uint8Array(size), this.score);
    this.flags = wider(new Uint8Array(size), this.flags);
    this.latency = wider(new Int32Array(size), this.latency);
    this.since = wider(new Float64Array(size), this.since);
    this.checked = wider(new Float64Array(size), this.checked);
    this.generation = wider(new Float64Array(size), this.generation);
    this.changedAt = wider(new Float64Array(size), this.changedAt);
  }

  private tell(change: Change, indices: readonly number[]): void {
    for (const listener of this.listeners) listener(change, indices);
  }
}
