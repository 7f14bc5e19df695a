# Coverage of firmware and protocol: their own tests, as check-mips builds them, and 60 farms.

COVERED     := $(filter firmware/% protocol/%,$(CORE))
BRANCHES    := 98.0 # percent of all that must be taken; tests/checks/uncovered.txt names the lines that are not
REPLAYED    := $(filter-out capability config http% json token event adb_key sim,$(FUZZERS)) # of what is covered
COVERAGE    := OUT=build/coverage OPT='-O0 -g --coverage -DCHECK_WITHOUT_BRANCH -Wno-error -isystem tests/checks/shim'
MCDC        := OUT=build/mcdc CC=clang-19 \
               OPT='-O0 -g -fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc -DCHECK_WITHOUT_BRANCH \
               -Wno-error -Wno-unknown-warning-option -isystem tests/checks/shim'

## Lines and branches of firmware and protocol that tests reach, and MC/DC where clang-19 is there
coverage: deps-coverage
	@$(MAKE) coverage-lines
	@$(MAKE) coverage-mcdc
	@echo "every line and branch that is not: build/coverage/uncovered.txt"

coverage-lines: deps-test
	@$(MAKE) $(COVERAGE) build/coverage/bin/core build/coverage/bin/sim $(REPLAYED:%=build/coverage/bin/%_replay)
	@find build/coverage -name '*.gcda' -delete
	@TEST_SECONDS=120 build/coverage/bin/core >build/coverage/tests.log || { grep -A 5 '^FAILED' build/coverage/tests.log; exit 1; }
	@build/coverage/bin/sim --hashes 60 >build/coverage/sim.log
	@$(foreach f,$(REPLAYED),build/coverage/bin/$f_replay tests/fuzz/corpus/$f/* &&) true
	@python3 tests/checks/coverage.py build/coverage $(BRANCHES) tests/checks/uncovered.txt $(COVERED)

$(OUT)/bin/%_replay: $(OUT)/tests/fuzz/%_fuzz.o $(OUT)/tests/checks/replay.o $(OUT)/libhub.a
	@$(CC) $(CFLAGS) $(filter %.o,$^) $(filter %.a,$^) -o $@
$(OUT)/bin/store_operations_replay: $(OUT)/tests/firmware/store_rig.o

# A condition of a decision is covered when it alone has changed the outcome.
coverage-mcdc:
	@$(MAKE) $(MCDC) build/mcdc/bin/core build/mcdc/bin/sim
	@rm -f build/mcdc/*.profraw
	@TEST_SECONDS=120 LLVM_PROFILE_FILE=build/mcdc/core-%2m.profraw build/mcdc/bin/core >build/mcdc/tests.log
	@LLVM_PROFILE_FILE=build/mcdc/sim-%m.profraw build/mcdc/bin/sim --hashes 60 >build/mcdc/sim.log
	@llvm-profdata-19 merge -o build/mcdc/all.profdata build/mcdc/*.profraw
	@llvm-cov-19 report --show-mcdc-summary --show-region-summary=false --show-functions=false \
	    -instr-profile build/mcdc/all.profdata build/mcdc/bin/core -object build/mcdc/bin/sim $(COVERED)

check-coverage:
	$(STEP) $(MAKE) coverage-lines
.PHONY: coverage coverage-lines coverage-mcdc check-coverage
