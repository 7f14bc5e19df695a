// What people who were not there can look at: the pictures that the tests before this one have taken.

import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { SHOTS, assert, test } from './rig.js';

const STARTED_MS = Date.now();

test('shots.of_rack_table_details_and_fleet_are_kept_in_both_themes', async () => {
  for (const view of ['rack', 'table', 'details', 'fleet']) {
    const [light, dark] = ['light', 'dark'].map((theme) => path.join(SHOTS, `${view}-${theme}.png`));
    for (const file of [light, dark]) {
      assert.ok(statSync(file).mtimeMs >= STARTED_MS, `${file} is of an earlier run`);
      assert.ok(statSync(file).size > 10000, `${file} is empty`);
    }
    assert.ok(!readFileSync(light).equals(readFileSync(dark)), `${view} looks the same in both themes`);
  }
});
