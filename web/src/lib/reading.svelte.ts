// What a page reads from the API and reads again while it is looked at: the newest answer, what went wrong, and when that was.

import { wording } from './api';

export class Reading<T> {
  /** The newest answer; nothing before the first. It stays when a later question fails. */
  value = $state.raw<T | undefined>();
  /** What went wrong last; empty once it went well again. */
  trouble = $state('');
  /** When an answer or a failure came last. */
  now = $state(Date.now());
  readonly #ask: () => Promise<T>;
  #asked = 0;
  #taken = 0;

  /**
   * Asks at once, again when something changes that `ask` looks at before it first waits, and every so often: not while nobody
   * looks at the page or it is `busy`. For a component, which ends it.
   */
  constructor(ask: () => Promise<T>, everyMs: number, busy: () => boolean = () => false) {
    this.#ask = ask;
    $effect(() => void this.again());
    $effect(() => {
      const timer = setInterval(() => void (!document.hidden && !busy() && this.again()), everyMs);
      return () => clearInterval(timer);
    });
  }

  /** Asks now. What comes after the answer to a later question is dropped. */
  async again(): Promise<void> {
    const asked = ++this.#asked;
    const told = await this.#ask().then((value) => ({ value, trouble: '' }), (error: unknown) => ({ value: this.value, trouble: wording(error) }));
    if (asked < this.#taken) return;
    this.#taken = asked;
    [this.value, this.trouble, this.now] = [told.value, told.trouble, Date.now()];
  }
}
