// Lost connections: told at once, nothing old shown as fresh, nothing missed afterwards.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Relay, count, eventually, inTime, leave, shownState, visit } from './house.mjs';

export function losing(world) {
  const offline = async (names) => {
    const found = await world.product.names('state=OFFLINE');
    return names.every((name) => found.includes(name));
  };
  const heal = async (names) => {
    for (const name of names) await world.heal(name);
    await eventually('all healthy', async () => (await world.product.api('/api/v1/fleet/summary')).by_state.ONLINE === world.spokes.count, 60_000);
  };

  test('a cut connection is told, nothing looks fresh, and nothing is missed or doubled after it', async () => {
    const { product, spokes } = world;
    const relay = await Relay.to(product.port);
    const page = await visit(world.browser, `${relay.url}/events`);
    const victims = (await product.names('cluster_type=SPOKE')).slice(-4);
    relay.cut();
    await page.waitForSelector('[data-stream=lost]');
    await page.getByText('Connection lost').waitFor();
    assert.equal(await count(page, 'stale'), spokes.count);
    for (const victim of victims) await spokes.behave(victim, 'dead');
    await eventually('they are OFFLINE', () => offline(victims), 60_000);
    const rows = (name) => page.locator('li', { hasText: name }).filter({ has: page.locator('.state.OFFLINE') });
    for (const victim of victims) assert.equal(await rows(victim).count(), 0);
    relay.mend();
    await page.waitForSelector('[data-stream=live]');
    for (const victim of victims) await rows(victim).waitFor();
    for (const victim of victims) assert.equal(await rows(victim).count(), 1, `${victim} once`);
    const log = (await product.api('/api/v1/events?limit=1000')).items.map((event) => event.position);
    const shown = await page.locator('li[data-position]').evaluateAll((items) => items.map((item) => Number(item.dataset.position)));
    const least = Math.min(...shown);
    assert.deepEqual([...shown].sort((a, b) => a - b), [...log, ...shown].filter((position, at, all) => position >= least && all.indexOf(position) === at).sort((a, b) => a - b));
    await eventually('the count', async () => (await count(page, 'stale')) === 0);
    await leave(page);
    relay.close();
    await heal(victims);
  });

  test('a connection that only falls silent is found out within fifteen seconds', async () => {
    const relay = await Relay.to(world.product.port);
    const page = await visit(world.browser, relay.url);
    await inTime('the silence was told', 15_000, async () => {
      const began = Date.now();
      relay.freeze();
      await page.waitForSelector('[data-stream=lost]');
      const took = Date.now() - began;
      assert.equal(await count(page, 'stale'), world.spokes.count);
      relay.mend();
      await page.waitForSelector('[data-stream=live]');
      return took;
    });
    await eventually('the count', async () => (await count(page, 'stale')) === 0);
    await leave(page);
    relay.close();
  });

  test('the browser says that it is offline, and later that it is not', async () => {
    const page = await visit(world.browser, world.product.url);
    await page.context().setOffline(true);
    await page.waitForSelector('[data-stream=lost]');
    await page.context().setOffline(false);
    await page.waitForSelector('[data-stream=live]');
    await leave(page);
  });

  test('the server is stopped and started again while a page looks on', async () => {
    const { product, spokes } = world;
    const [victim] = await product.names('cluster_type=HUB');
    const page = await visit(world.browser, product.url);
    await product.stop();
    await page.waitForSelector('[data-stream=lost]');
    await spokes.behave(victim, 'dead');
    await product.start();
    await page.waitForSelector('[data-stream=live]');
    await eventually('the tile', async () => (await shownState(page, victim)) === 'OFFLINE', 60_000);
    await eventually('the count', async () => (await count(page, 'stale')) === 0, 60_000);
    await leave(page);
    await heal([victim]);
  });
}
