# The farm simulator: `make sim` runs a campaign, `make sim SEED=n` one seed, told around a failure.
# With what of the real upstream needs no database.
SIM_SOURCES := $(wildcard tests/sim/*.c) host/upstreamd/fleet/ledger.c host/upstreamd/fleet/assignment_judge.c
SIM := $(BIN)/sim
HOURS := 50000
JOBS  := $(shell nproc)
# One seed more for each commit: its id, which replays it.
COMMIT_SEED = $(shell printf '%d' 0x$$(git rev-parse HEAD 2>/dev/null | cut -c 1-12 || echo 1))

$(SIM): $(call obj,$(SIM_SOURCES)) $(OUT)/libhub.a
	@mkdir -p $(@D) && echo "LD $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@

## Live through HOURS=50000 hub-hours of farms, or through one farm: SEED=n
sim: $(SIM)
	@$(SIM) $(if $(SEED),--seed $(SEED),--hours $(HOURS) --jobs $(JOBS) --whole)

# The choices of a farm as a fuzzer's bytes.
# Short ones; and what libFuzzer does beside running them costs more than they do.
FUZZ_sim := -max_len=640 -entropic=0 -use_cmp=0
$(OUT)/bin/sim_fuzz: $(call obj,$(filter-out tests/sim/main.c,$(SIM_SOURCES)))

# All hours, the commit's own seed, and the same hashes from both compilers.
check-sim: check-gcc check-clang
	$(STEP) $(MAKE) sim-check
sim-check:
	@$(MAKE) sim
	@$(SIM) --seed $(COMMIT_SEED)
	@python3 tests/checks/planted_sim.py --canary
	@$(MAKE) CC=clang build/clang/bin/sim
	@$(SIM) --hashes 40 >build/sim-gcc.txt && build/clang/bin/sim --hashes 40 >build/sim-clang.txt
	@cmp build/sim-gcc.txt build/sim-clang.txt && echo "note: 40 seeds end alike, built by gcc and by clang"

# Planted bugs, each to be seen within a stated number of seeds; the canaries run in every check.
planted-sim: $(SIM)
	@nice python3 tests/checks/planted_sim.py '$(or $(SIM_BUG),$(T))'
.PHONY: sim planted-sim check-sim sim-check
