// Drives the real binary, in front of a thousand simulated spokes, through a real browser. Every wait ends in time.
// Started by `web/tests/run browser`.
import { after, before } from 'node:test';
import { changing } from './changing.mjs';
import { frames } from './frames.mjs';
import { Product, Spokes, endAll, eventually, openBrowser } from './house.mjs';
import { losing } from './losing.mjs';
import { notifying } from './notifying.mjs';
import { pictures } from './pictures.mjs';
import { signing } from './signing.mjs';
import { signingOnce } from './sso.mjs';
import { watching } from './watching.mjs';

const SPOKES = 1_000;
/** What every test stands on, there when it begins. */
const world = {
  /** A spoke is healthy again, and the monitor looks at once. */
  async heal(name) {
    await this.spokes.behave(name, 'healthy');
    const { id } = await this.product.api(`/api/v1/clusters/by-name/${name}`);
    await this.product.api(`/api/v1/clusters/${id}/refresh`, { method: 'POST' });
  },
};

before(async () => {
  const began = Date.now();
  [world.spokes, world.product, world.browser] = await Promise.all([Spokes.start(SPOKES), new Product('fleet').start(), openBrowser()]);
  await world.product.register(world.spokes);
  await eventually('every spoke ONLINE', async () => (await world.product.api('/api/v1/fleet/summary')).by_state.ONLINE === SPOKES, 120_000);
  console.log(`${SPOKES} spokes are watched and ONLINE after ${Date.now() - began} ms`);
}, { timeout: 200_000 });
after(async () => {
  await world.browser?.close();
  await endAll();
});

watching(world);
changing(world);
notifying(world);
losing(world);
signing(world);
signingOnce(world);
pictures(world);
frames(world);
