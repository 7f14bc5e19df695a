# The Debian packages.

## Build the Debian packages into build/package/first
deb: deps-package
	@bash scripts/deb.sh build/package/first && ls build/package/first/*.deb

## Judge the packages, and install, start, upgrade and purge them on a Debian 12 of their own (root)
package: deb
	@lintian --allow-root --fail-on error,warning build/package/first/*.changes
	@blhc build/package/first/build.log
	@umask 077 && HOME=/nonexistent bash scripts/deb.sh build/package/second # nobody's files, another folder
	@for deb in build/package/first/*.deb; do cmp $$deb build/package/second/$${deb##*/} || exit 1; done && \
	    echo "two builds are equal"
	@systemd-analyze security --offline=true --threshold=40 --no-pager $(CURDIR)/debian/hubd.service | tail -n 1
	@systemd-analyze security --offline=true --threshold=20 --no-pager $(CURDIR)/debian/upstreamd.service | tail -n 1
	@python3 tests/package/run.py build/package/first build/package/base build/package/work

.PHONY: deb package
