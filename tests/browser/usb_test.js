// Phones on USB hubs: in their ports, and their ports' power.

import { Bus, Hub, World, assert, test, until } from './rig.js';
import { isAccessible, openPage, shot, visit } from './page.js';

test('usb.phones_stand_in_their_ports_and_power_is_cut_only_when_it_was_asked_twice', async () => {
  const world = new World();
  try {
    const bus = await Bus.start(world);
    for (const port of [1, 2, 4, 11, 13]) {
      bus.attach(port, 'USB' + port);
    }
    const hub = await Hub.start(world, { env: bus.env, more: 'usb = on\n[slots]\nlabels = usb:0000:00:14.0-1.4 shelf-3' });
    await hub.ready(5);
    const page = await openPage();
    await visit(page, hub.url);
    await page.getByRole('heading', { name: 'USB controller 0000:00:14.0' }).waitFor();
    const ports = page.getByRole('list', { name: 'Ports of Hub 1', exact: true });
    await ports.locator('.cell').nth(3).waitFor();
    const texts = await ports.locator('.cell').allTextContents();
    assert.equal(texts.length, 4);
    assert.match(texts[1], /^2.*USB2/);
    assert.match(texts[2], /^3empty/);
    assert.match(texts[3], /^4 shelf-3.*USB4/);
    await shot(page, 'rack-usb-light');

    await ports.locator('a.cell', { hasText: 'USB4' }).click();
    await page.getByRole('button', { name: 'Power cycle…' }).click();
    await page.getByRole('dialog').getByText('Question 1 of 2').waitFor();
    await isAccessible(page, 'first question');
    await page.getByRole('button', { name: 'Cut power…' }).click();
    await page.getByRole('dialog').getByText('Question 2 of 2').waitFor();
    await page.keyboard.press('Enter'); // falls on the button that goes back
    await until('the dialog is gone', 10, async () => await page.locator('dialog').count() === 0);
    const cycles = async () => Number(/hub_power_cycles_total (\d+)/.exec(await hub.api.get('/metrics'))[1]);
    assert.equal(await cycles(), 0);
    await page.getByRole('button', { name: 'Power cycle…' }).click();
    await page.getByRole('button', { name: 'Cut power…' }).click();
    await page.getByRole('button', { name: 'Cut power of USB4' }).click();
    await page.getByRole('status').filter({ hasText: 'Power of USB4: done' }).waitFor();
    await until('the port was switched', 60, async () => await cycles() === 1);
    await page.locator('.head .badge', { hasText: 'ready' }).waitFor({ timeout: 60000 });

    bus.detach(2);
    await page.goto(hub.url + '#/rack');
    await ports.locator('.cell', { hasText: 'USB2' }).locator('.badge', { hasText: 'absent' }).waitFor();
    page.isClean(hub.url);
    await page.done();
  } finally {
    await world.close();
  }
}, { seconds: 180 });
