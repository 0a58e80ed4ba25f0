// Changing the fleet from the page: register, edit, delete, import.
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { eventually, leave, visit } from './house.mjs';

const NAME = 'aaa-made-here';

export const changing = (world) => describe('changing the fleet', () => {
  const remove = async (name) => {
    const found = await fetch(`${world.product.url}/api/v1/clusters/by-name/${name}`);
    if (found.ok) await world.product.api(`/api/v1/clusters/${(await found.json()).id}`, { method: 'DELETE' });
  };
  afterEach(() => Promise.all([NAME, 'lab-one'].map(remove)));

  test('a cluster is registered, edited, and deleted after its name was typed', async () => {
    const { product } = world;
    const page = await visit(world.browser, `${product.url}/register`);
    const register = page.getByRole('button', { name: 'Register cluster' });
    await page.fill('[name=name]', 'Not A Name');
    await register.click();
    await page.waitForSelector('[name=name][aria-invalid=true]');
    assert.match(await page.textContent('[data-wrong=name]'), /must match/);
    assert.match(await page.textContent('[data-wrong=api_server_url]'), /is required/);
    await page.fill('[name=name]', NAME);
    await page.fill('[name=api_server_url]', 'https://127.0.0.1:1');
    await page.fill('[name=labels]', 'team=web');
    await register.click();
    await page.waitForURL(`**/clusters/${NAME}`);
    await page.waitForSelector('.now .OFFLINE', { timeout: 30_000 });
    await page.getByRole('button', { name: 'Edit' }).click();
    await page.fill('dialog [name=region]', 'moon-1');
    await page.getByRole('button', { name: 'Save changes' }).click();
    await page.locator('dl.facts dd', { hasText: /^moon-1$/ }).waitFor();
    assert.equal((await product.api(`/api/v1/clusters/by-name/${NAME}`)).region, 'moon-1');
    await page.getByRole('button', { name: 'Check now' }).click();
    await page.locator('.probes li', { hasText: 'API server' }).filter({ hasText: 'connection refused' }).waitFor();
    await page.getByRole('button', { name: 'Delete' }).click();
    assert(await page.isDisabled('dialog button[type=submit]'));
    await page.fill('dialog [name=confirm]', NAME);
    await page.getByRole('button', { name: 'Delete cluster' }).click();
    await page.waitForURL(`${product.url}/`);
    await eventually('it is gone', async () => (await fetch(`${product.url}/api/v1/clusters/by-name/${NAME}`)).status === 404);
    await leave(page);
  });

  test('a cluster is silenced from its page, shows it, and is heard of again after its silence was ended', async () => {
    const { product } = world;
    await product.api('/api/v1/clusters', { method: 'POST', body: { name: NAME, api_server_url: 'https://127.0.0.1:1', source: 'capi:moon/labs/one' } });
    const page = await visit(world.browser, `${product.url}/clusters/${NAME}`);
    await page.locator('dl.facts [data-source]', { hasText: /^capi:moon\/labs\/one$/ }).waitFor();
    await page.getByRole('link', { name: 'Silence', exact: true }).click();
    await page.waitForURL(`**/silences?cluster=${NAME}`);
    await page.getByRole('button', { name: 'Silence', exact: true }).click();
    await page.waitForSelector('[name=comment][aria-invalid=true]');
    await page.fill('[name=comment]', 'new switch');
    await page.getByRole('button', { name: 'Silence', exact: true }).click();
    await page.locator('[data-silences=active] tr', { hasText: 'new switch' }).waitFor();
    await page.goto(`${product.url}/clusters/${NAME}`);
    await page.waitForSelector('[data-silenced]');
    await page.getByRole('img', { name: /^Silenced: new switch/ }).waitFor();
    await page.locator('[data-silenced]').click();
    await page.getByRole('button', { name: 'End new switch now' }).click();
    await page.locator('[data-silences=expired] tr', { hasText: 'new switch' }).waitFor();
    await page.goto(`${product.url}/clusters/${NAME}`);
    await page.getByRole('button', { name: 'Check now' }).waitFor();
    assert.equal(await page.locator('[data-silenced]').count(), 0);
    await leave(page);
  });

  test('an edit that somebody else overtook is refused and says so', async () => {
    const { product } = world;
    const made = await product.api('/api/v1/clusters', { method: 'POST', body: { name: NAME, api_server_url: 'https://127.0.0.1:1' } });
    const page = await visit(world.browser, `${product.url}/clusters/${NAME}`);
    await page.getByRole('button', { name: 'Edit' }).click();
    await page.fill('dialog [name=region]', 'mine');
    await product.api(`/api/v1/clusters/${made.id}`, { method: 'PUT', body: { region: 'theirs' } });
    await page.getByRole('button', { name: 'Save changes' }).click();
    await page.locator('dialog [role=alert]').waitFor();
    assert.equal((await product.api(`/api/v1/clusters/${made.id}`)).region, 'theirs');
    await leave(page);
  });

  test('the page of a cluster that is not there yet shows it as soon as it is, and tells when it goes', async () => {
    const { product } = world;
    const page = await visit(world.browser, `${product.url}/clusters/${NAME}`);
    await page.getByText(`No cluster named ${NAME}`).waitFor();
    await product.api('/api/v1/clusters', { method: 'POST', body: { name: NAME, api_server_url: 'https://127.0.0.1:1' } });
    await page.getByRole('button', { name: 'Check now' }).waitFor();
    await remove(NAME);
    await page.getByText(`No cluster named ${NAME}`).waitFor();
    await leave(page);
  });

  test('a pasted kubeconfig is previewed and imported without its credentials', async () => {
    const { product } = world;
    const page = await visit(world.browser, `${product.url}/register?from=kubeconfig`);
    const bodies = [];
    page.on('request', (request) => bodies.push(request.postData() ?? ''));
    const one = (name, port) => `- cluster:\n    server: https://127.0.0.1:${port}\n  name: ${name}\n`;
    await page.getByLabel('Paste a kubeconfig').fill(`apiVersion: v1\nkind: Config\nclusters:\n${one('Lab_One', 1)}${one('lab-two', 2)}users:\n- name: me\n  user:\n    token: s3cret-of-mine\n`);
    await page.getByLabel('Import lab-two').uncheck();
    await page.getByRole('button', { name: 'Import 1 cluster' }).click();
    await page.locator('tr', { hasText: 'lab-one' }).getByText('created').waitFor();
    assert(bodies.some((body) => body.includes('lab-one')) && !bodies.some((body) => body.includes('s3cret') || body.includes('lab-two')));
    await leave(page);
  });
});
