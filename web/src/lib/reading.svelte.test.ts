// @vitest-environment jsdom
import { flushSync } from 'svelte';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Reading } from './reading.svelte';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A reading whose questions the test answers, in whatever order. */
function asked(busy?: () => boolean) {
  const questions: { answer: (value: string) => void; fail: (why: string) => void }[] = [];
  let reading!: Reading<string>;
  const end = $effect.root(() => {
    const ask = () => new Promise<string>((answer, fail) => void questions.push({ answer, fail: (why) => fail(new Error(why)) }));
    reading = new Reading(ask, 1_000, busy);
  });
  flushSync();
  return { reading, questions, end, settle: () => vi.advanceTimersByTimeAsync(0) };
}

it('asks at once and every so often, until it is ended', async () => {
  const { questions, end } = asked();
  expect(questions.length).toBe(1);
  await vi.advanceTimersByTimeAsync(2_500);
  expect(questions.length).toBe(3);
  end();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(questions.length).toBe(3);
});

it('does not ask by itself while the page is busy', async () => {
  const { questions, end } = asked(() => true);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(questions.length).toBe(1);
  end();
});

it('keeps the last answer when a later question fails, and says why', async () => {
  const { reading, questions, end, settle } = asked();
  questions[0]!.answer('first');
  await settle();
  void reading.again();
  questions[1]!.fail('nobody there');
  await settle();
  expect([reading.value, reading.trouble]).toEqual(['first', 'nobody there']);
  void reading.again();
  questions[2]!.answer('third');
  await settle();
  expect([reading.value, reading.trouble]).toEqual(['third', '']);
  end();
});

it('drops an answer that a later one has overtaken', async () => {
  const { reading, questions, end, settle } = asked();
  void reading.again();
  questions[1]!.answer('newer');
  await settle();
  questions[0]!.answer('older');
  await settle();
  expect(reading.value).toBe('newer');
  end();
});

it('asks anew when what it looks at changes', async () => {
  let of = $state('one');
  const seen: string[] = [];
  const end = $effect.root(() => void new Reading(async () => void seen.push(of), 60_000));
  flushSync();
  of = 'other';
  flushSync();
  expect(seen).toEqual(['one', 'other']);
  end();
});
