// run.js - the tests of the dashboard in a real browser; words keep those whose name has one.
// Screenshots are kept in build/screenshots. The last line counts: `N passed, N failed`.

import { closeBrowser, openBrowser } from './page.js';
import { runAll } from './rig.js';
import { closeRack } from './rack_rig.js';
import './link_test.js';
import './rack_test.js';
import './usb_test.js';
import './processes_test.js';
import './process_test.js';
import './look_test.js';
import './speed_test.js';
import './fleet_test.js';
import './shots_test.js'; // last: it looks at what the others have left

await openBrowser();
let code = 1;
try {
  code = await runAll(process.argv.slice(2));
} finally {
  await closeRack();
  await closeBrowser();
}
process.exit(code);
