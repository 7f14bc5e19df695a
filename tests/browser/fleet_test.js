// Upstream's page: from the fleet to a hub to a phone.

import { execFileSync } from 'node:child_process';
import { Hub, Upstream, World, assert, test, until } from './rig.js';
import { isAccessible, openPage, shot, visit } from './page.js';

test('fleet.leads_from_hubs_to_a_phone_in_two_clicks_and_says_which_hub_needs_a_look', async () => {
  const world = new World();
  try {
    const up = await Upstream.start(world, 'hub-1', 'hub-2', 'hub-3');
    const hubs = [];
    for (const [i, id] of ['hub-1', 'hub-2', 'hub-3'].entries()) {
      const { ports } = await world.phones(3, '--serial', `H${i + 1}P01`);
      hubs.push(await Hub.start(world, { ports, id, more: up.section(id) }));
      await hubs[i].ready(3);
    }
    const done = await hubs[0].api.submit('maintenance', 'H1P02');
    const failed = await hubs[1].api.submit('broken', 'H2P02');
    await until('all hubs are known upstream', 60, async () => (await up.api.get('/hubs')).hubs.length === 3);
    await until('their work, too', 60, async () => (await up.api.call('GET', '/processes/' + failed)).body.status === 'failed_terminal' &&
      (await up.api.call('GET', '/processes/' + done)).body.status === 'completed');

    const page = await openPage();
    await visit(page, up.url);
    const row = (id) => page.locator('tbody tr', { hasText: id });
    await row('hub-2').locator('.badge', { hasText: 'live' }).waitFor();
    await row('hub-1').getByRole('link', { name: 'hub-1', exact: true }).click();
    await page.getByRole('heading', { level: 1, name: 'Rack of hub-1' }).waitFor();
    assert.equal(await page.locator('a.cell[href]').count(), 3);
    await page.locator('a.cell', { hasText: 'H1P02' }).click();
    await page.getByRole('heading', { level: 1, name: 'H1P02' }).waitFor();
    await page.locator('td', { hasText: done }).waitFor();
    await page.getByRole('link', { name: 'Rack of hub-1' }).click();
    await page.getByRole('heading', { level: 1, name: 'Rack of hub-1' }).waitFor();

    // Live: what happens at a hub shows here without a reload.
    const nap = await hubs[0].api.submit('nap', 'H1P03', { seconds: 600 });
    await page.locator('a.cell', { hasText: 'H1P03' }).locator('.badge', { hasText: 'leased' }).waitFor();
    await hubs[0].api.post(`/processes/${nap}/cancel`);
    await page.locator('a.cell', { hasText: 'H1P03' }).locator('.badge', { hasText: 'ready' }).waitFor();

    await page.goto(up.url + '#/processes?failed=1');
    await page.locator(`tr[data-id="${failed}"] .preview`, { hasText: 'exit status 7' }).waitFor();
    await page.getByRole('link', { name: failed }).click();
    await page.locator('.events li', { hasText: 'finished' }).first().waitFor();
    await isAccessible(page, 'process upstream');
    await page.goto(up.url + '#/plots');
    await page.locator('svg').nth(3).waitFor();
    await isAccessible(page, 'plots upstream');

    // A hub that is long silent, and one that has forked: as their rows in the database say.
    await hubs[2].program.stop();
    const sql = (text) => execFileSync('sqlite3', ['-cmd', '.timeout 10000', world.path('fleet.db'), text]);
    sql("UPDATE hubs SET last_seen_ms = last_seen_ms - 7200000 WHERE hub_id = 'hub-3'; UPDATE hubs SET forks = 2 WHERE hub_id = 'hub-2'");
    await page.goto(up.url + '#/fleet');
    await row('hub-3').locator('.badge', { hasText: 'silent' }).waitFor();
    await row('hub-3').getByText('2 h ago').waitFor();
    await row('hub-2').locator('.badge', { hasText: 'forked' }).waitFor();
    for (const theme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme: theme });
      await isAccessible(page, 'fleet ' + theme);
      await shot(page, 'fleet-' + theme);
    }
    await page.getByLabel('Only what needs a look').check();
    await until('hub-1 is well', 10, async () => await page.locator('tbody tr').count() === 2);
    await page.getByLabel('Find a hub').fill('hub-3');
    await until('found', 10, async () => await page.locator('tbody tr').count() === 1);
    page.isClean(up.url);
    await page.done();
  } finally {
    await world.close();
  }
}, { seconds: 240 });
