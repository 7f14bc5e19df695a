// The rack: phones in their places, as they live, and what an operator does to them.

import { Hub, READER, World, assert, freePorts, test, until } from './rig.js';
import { isAccessible, openPage, shot, visit } from './page.js';
import { PHONES, fullRack } from './rack_rig.js';

test('rack.shows_every_phone_with_its_place_state_battery_and_temperature', async () => {
  const { hub } = await fullRack();
  const page = await openPage();
  await visit(page, hub.url);
  await page.locator('a.cell').nth(PHONES - 1).waitFor();
  assert.equal(await page.locator('a.cell').count(), PHONES);
  await page.locator('.counts li', { hasText: 'ready' }).filter({ hasText: String(PHONES) }).waitFor();
  const cell = page.locator('a.cell', { hasText: 'SIM001' });
  await cell.filter({ hasText: /\d+ % · \d+\.\d °C/ }).waitFor();
  assert.match(await cell.textContent(), /shelf-1/);
  assert.ok(await cell.locator('.badge.good', { hasText: 'ready' }).isVisible());
  page.isClean(hub.url);
  await page.done();
}, { seconds: 240 });

test('rack.a_phone_that_dies_and_recovers_is_seen_while_it_is_watched', async () => {
  const world = new World();
  try {
    const port = await freePorts(2);
    const start = (name, at) => world.start('phonesim', ['--adb-tcp', `127.0.0.1:${at}`, '--serial', name]);
    start('STAYS', port);
    let dies = start('DIES', port + 1);
    const hub = await Hub.start(world, { ports: [port, port + 1] });
    await hub.ready(2);
    const page = await openPage();
    await visit(page, hub.url);
    const cell = page.locator('a.cell', { hasText: 'DIES' });
    await cell.locator('.badge', { hasText: 'ready' }).waitFor();
    const id = await hub.api.submit('nap', 'DIES', { seconds: 300 });
    await cell.locator('.badge', { hasText: 'leased' }).waitFor();
    await cell.filter({ hasText: 'nap · nap' }).filter({ hasText: '50 %' }).waitFor();
    await dies.stop('SIGKILL');
    await cell.locator('.badge', { hasText: /recovering|absent|connecting/ }).waitFor();
    await cell.filter({ hasText: 'phone lost' }).waitFor();
    assert.ok(await page.locator('a.cell', { hasText: 'STAYS' }).locator('.badge', { hasText: 'ready' }).isVisible());
    await hub.api.ended(id, 'failed_terminal');
    dies = start('DIES', port + 1);
    await cell.locator('.badge', { hasText: 'ready' }).waitFor({ timeout: 60000 });
    await cell.filter({ hasText: 'idle' }).waitFor();
    page.isClean(hub.url);
    await page.done();
  } finally {
    await world.close();
  }
});

test('rack.an_operator_quarantines_releases_and_labels_a_phone', async () => {
  const world = new World();
  try {
    const { ports } = await world.phones(2);
    const hub = await Hub.start(world, { ports });
    await hub.ready(2);
    const page = await openPage();
    await visit(page, hub.url, '#/phone/SIM001');
    await page.getByRole('button', { name: 'Quarantine…' }).click();
    await page.getByLabel('Reason').fill('battery swollen');
    await isAccessible(page, 'dialog');
    await page.getByRole('button', { name: 'Quarantine', exact: true }).click();
    await page.locator('.head .badge', { hasText: 'quarantined' }).waitFor();
    await page.getByText('battery swollen').waitFor();
    await page.goto(hub.url + '#/rack');
    const cell = page.locator('a.cell', { hasText: 'SIM001' });
    await cell.filter({ hasText: 'quarantined' }).filter({ hasText: 'battery swollen' }).waitFor();
    await cell.click();
    await page.getByRole('button', { name: 'Release' }).click();
    await page.locator('.head .badge', { hasText: 'ready' }).waitFor();
    await page.getByRole('button', { name: 'Labels…' }).click();
    await page.getByLabel('Labels', { exact: true }).fill('fast shelf-9');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('.chip', { hasText: 'shelf-9' }).waitFor();
    assert.deepEqual((await hub.api.get('/phones/SIM001')).labels, ['fast', 'shelf-9']);
    await page.getByRole('button', { name: 'Labels…' }).click();
    await page.getByLabel('Labels', { exact: true }).fill('a/b');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('alert').filter({ hasText: 'invalid_member' }).waitFor();
    await page.done();

    const reader = await openPage();
    await visit(reader, hub.url, '#/phone/SIM001', READER);
    await reader.locator('.chip', { hasText: 'shelf-9' }).waitFor();
    assert.equal(await reader.locator('main button').filter({ hasText: '…' }).count(), 0, 'no actions without the scope');
    await reader.done();
  } finally {
    await world.close();
  }
});

test('rack.a_keyboard_alone_reaches_every_phone_and_does_what_a_mouse_does', async () => {
  const { hub } = await fullRack();
  const page = await openPage();
  await visit(page, hub.url);
  await page.locator('a.cell').nth(PHONES - 1).waitFor();
  await page.locator('main:focus, body').first().waitFor();
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
  await page.keyboard.press('Tab');
  const seen = [];
  for (let i = 0; i < 12; i += 1) {
    seen.push(await focused());
    if (await page.evaluate(() => document.activeElement.matches('a.cell'))) {
      break;
    }
    await page.keyboard.press('Tab');
  }
  assert.ok(seen[0].startsWith('Skip'), String(seen));
  assert.ok(seen.includes('Processes') && seen.includes('Forget token'), String(seen));
  assert.match(seen[seen.length - 1], /SIM001/);
  await page.keyboard.press('ArrowRight');
  assert.match(await focused(), /SIM002/);
  await page.keyboard.press('End');
  assert.match(await focused(), new RegExp('SIM' + PHONES));
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowDown');
  const columns = await page.evaluate(() => {
    const cells = [...document.querySelectorAll('a.cell')];
    return cells.filter((cell) => cell.getBoundingClientRect().top === cells[0].getBoundingClientRect().top).length;
  });
  assert.equal(await page.evaluate(() => document.activeElement.querySelector('.id').textContent), 'SIM' + String(columns + 1).padStart(3, '0'));
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, 'solid', 'the focus can be seen');
  await page.keyboard.press('Tab');
  assert.ok(!await page.evaluate(() => document.activeElement.matches('a.cell')), 'Tab leaves the rack');
  await page.locator('a.cell', { hasText: 'SIM003' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'SIM003' }).waitFor();
  await page.getByRole('button', { name: 'Quarantine…' }).focus();
  await page.keyboard.press('Enter');
  await page.getByLabel('Reason').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.name), 'reason');
  await page.keyboard.press('Escape');
  await until('the dialog is gone', 10, async () => await page.locator('dialog').count() === 0);
  assert.equal((await hub.api.get('/phones/SIM003')).state, 'ready');
  page.isClean(hub.url);
  await page.done();
}, { seconds: 240 });

test('rack.screenshots_in_both_themes', async () => {
  const { hub } = await fullRack();
  const naps = [];
  for (let i = 1; i <= 40; i += 1) {
    naps.push(await hub.api.submit('nap', `SIM${String(i).padStart(3, '0')}`, { seconds: 600 }));
  }
  await hub.api.post('/phones/SIM050/quarantine', { reason: 'battery swollen, ticket 4711' });
  for (const theme of ['light', 'dark']) {
    const page = await openPage({ theme });
    await visit(page, hub.url);
    await page.locator('a.cell').nth(PHONES - 1).waitFor();
    await until('all are leased', 30, async () => await page.locator('a.cell .badge', { hasText: 'leased' }).count() === 40);
    await shot(page, 'rack-' + theme, { fullPage: true });
    await page.goto(hub.url + '#/phone/SIM050');
    await page.locator('.head .badge', { hasText: 'quarantined' }).waitFor();
    await shot(page, 'phone-' + theme);
    page.isClean(hub.url);
    await page.done();
  }
  await hub.api.post('/phones/SIM050/release');
  await Promise.all(naps.map((id) => hub.api.post(`/processes/${id}/cancel`)));
  await Promise.all(naps.map((id) => hub.api.ended(id, 'cancelled', 60)));
}, { seconds: 300 });
