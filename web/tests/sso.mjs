// Single sign-on: a person signs in at an issuer, comes back, works, and leaves; and those who are not let in.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Product, Spokes, count, eventually, freePort, leave, visit } from './house.mjs';
import { CLIENT, Issuer, SECRET } from './issuer.mjs';

const SPOKES = 6;
const SIGN_IN = 'text=Sign in to fleetbeat';
const GRANTS = [{ group: 'admins', role: 'admin' }, { group: 'readers', role: 'viewer' }];

export const signingOnce = (world) => describe('single sign-on', () => {
  const own = {};
  const arrive = (path = '/') => visit(world.browser, own.product.url + path, { until: SIGN_IN });
  const goAndAnswer = async (page, answer) => {
    await page.getByRole('link', { name: 'Sign in with Our people' }).click();
    await page.getByRole('heading', { name: 'Is it you' }).waitFor();
    assert(page.url().startsWith(own.issuer.url));
    await page.getByRole('link', { name: answer }).click();
  };
  const signedIn = async (path) => {
    const page = await arrive(path);
    await goAndAnswer(page, 'Continue');
    await page.waitForSelector('[data-stream=live]');
    return page;
  };
  /** The way over the issuer is the one other host that is asked. */
  const finish = async (page) => {
    page.problems = page.problems.filter((one) => !one.startsWith(`asked ${own.issuer.url}/`));
    await leave(page);
  };
  const session = async (page) => (await page.context().cookies()).find((one) => one.name === 'fleetbeat-session');
  const sessions = async () => (await own.product.api('/api/v1/sessions', { token: own.admin })).items;

  before(async () => {
    const port = await freePort();
    [own.issuer, own.spokes] = await Promise.all([Issuer.start(), Spokes.start(SPOKES, 'sso-')]);
    own.product = new Product('sso', {
      'auth.tokens.enabled': true,
      'auth.oidc.issuer': own.issuer.url,
      'auth.oidc.audiences': 'fleetbeat-api',
      'auth.oidc.client_id': CLIENT,
      'auth.oidc.client_secret': SECRET,
      'auth.oidc.public_url': `http://127.0.0.1:${port}`,
      'auth.oidc.login_name': 'Our people',
      'auth.oidc.grants': JSON.stringify(GRANTS),
    });
    own.product.port = port;
    await own.product.start();
    own.admin = own.product.firstToken;
    await own.product.register(own.spokes, own.admin);
    await eventually('all ONLINE', async () => (await own.product.api('/api/v1/fleet/summary', { token: own.admin })).by_state.ONLINE === SPOKES, 60_000);
  });
  after(async () => {
    own.issuer?.stop();
    await own.product?.stop();
  });

  test('a person signs in at the issuer, comes back to what they wanted to see, changes something, and signs out', async () => {
    const page = await signedIn('/table?group=region');
    assert.equal(page.url(), `${own.product.url}/table?group=region`);
    assert.equal(await page.getAttribute('[data-caller]', 'data-caller'), 'Ada');
    await eventually('the fleet', async () => (await count(page, 'ONLINE')) === SPOKES);
    const kept = await session(page);
    assert.deepEqual([kept.httpOnly, kept.sameSite, kept.path], [true, 'Lax', '/']);
    assert.deepEqual(await page.evaluate(() => [{ ...sessionStorage }, document.cookie]), [{}, '']);
    await page.reload();
    await page.waitForSelector('[data-stream=live]');

    // What changes something carries the header that other sites cannot send.
    const [{ name }] = (await own.product.api('/api/v1/clusters?page_size=1', { token: own.admin })).items;
    await page.goto(`${own.product.url}/clusters/${name}`);
    const checked = page.waitForResponse((response) => response.request().method() === 'POST');
    await page.getByRole('button', { name: 'Check now' }).click();
    assert.equal((await checked).status(), 200);

    await page.locator('summary', { hasText: 'Ada' }).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForSelector(SIGN_IN);
    assert.equal(await session(page), undefined);
    assert.deepEqual(await sessions(), []);
    await page.reload();
    await page.waitForSelector(SIGN_IN);
    await finish(page);
  });

  test('who refuses there, or is in no group that counts, is told so and has no session', async () => {
    const page = await arrive();
    await goAndAnswer(page, 'Refuse');
    await page.getByText('You were not signed in').waitFor();
    own.issuer.person = { sub: 'eve', preferred_username: 'Eve', groups: ['strangers'] };
    await goAndAnswer(page, 'Continue');
    await page.getByText('None of your groups may use fleetbeat').waitFor();
    assert.equal(await session(page), undefined);
    assert.deepEqual(await sessions(), []);
    await finish(page);
  });

  test('a reader gets no buttons that would be refused, and is out when an administrator ends the session', async () => {
    own.issuer.person = { sub: 'bob', preferred_username: 'Bob', groups: ['readers'] };
    const page = await signedIn('/events');
    assert.equal(await page.getByRole('link', { name: 'Register' }).count(), 0);
    const [{ id, caller }] = await sessions();
    assert.equal(caller, 'oidc:bob');
    await own.product.api(`/api/v1/sessions/${id}`, { method: 'DELETE', token: own.admin });
    await page.getByText('You are no longer signed in').waitFor({ timeout: 10_000 });
    assert.equal(await page.locator('li[data-position]').count(), 0);
    await finish(page);
  });
});
