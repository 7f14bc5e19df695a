# The rig: a real kernel's USB. Some 80 MB of packages are fetched and unpacked below build/rig, once.

## Boot Debian's kernel in QEMU with phones on power-switched USB hubs, and hubd, adb and fastboot inside
rig: deps-rig
	@$(MAKE) all $(BIN)/usb_redir
	@bash tests/rig/image.sh $(CURDIR)/build/rig $(CURDIR)/$(BIN)
	@python3 tests/rig/run.py build/rig

check-rig:
	$(STEP) $(MAKE) rig

.PHONY: rig check-rig
