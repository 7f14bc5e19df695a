"""The adb endpoint of a lease, with Debian's adb as its client."""

import unittest

import adb_rig


class OneLease(adb_rig.LeaseCase):
    def test_shows_its_phone_and_runs_a_command(self):
        self.start_farm(2)
        _, socket = self.lease("SIM001")
        self.assertEqual("List of devices attached\nSIM001\tdevice\n\n",
                         self.assert_adb(socket, "devices"))
        self.assertEqual("SIM001\n", self.assert_adb(socket, "shell", "getprop ro.serialno"))


if __name__ == "__main__":
    unittest.main()
