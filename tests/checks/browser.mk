# The dashboard in Debian's Chromium, driven by playwright-core; axe-core judges accessibility. Both
# are npm packages of the lock file, for these tests only. Screenshots: build/screenshots.
BROWSER_PACKAGES := build/browser/node_modules/.package-lock.json
$(BROWSER_PACKAGES): tests/browser/package.json tests/browser/package-lock.json tests/browser/.npmrc | deps-browser
	@mkdir -p $(@D) && cp $^ build/browser/ && cd build/browser && npm ci --no-progress && touch ../../$@

## Test the dashboard in a real browser; T=text filters
browser: deps-browser $(BROWSER_PACKAGES) all $(BIN)/usb_bus
	@node tests/browser/run.js $(if $(T),'$(T)')
check-browser:
	$(STEP) $(MAKE) browser
.PHONY: browser check-browser
