# The rows of the goals that can be measured here, beside the peers that Debian ships.

BENCHES := store hub sqlite load fleet
BENCH_SOURCES := $(wildcard tests/bench/*.c)
bench_shared := $(addprefix tests/bench/,counting_flash.c store_workload.c report.c \
                load.c load_http.c load_redis.c load_beanstalkd.c load_postgres.c \
                hub_work.c hub_log.c fleet.c fleet_certs.c)
BENCH_ARM := $(wildcard firmware/store*.c) protocol/crc32c.c protocol/sha256.c tests/bench/ram.c

## Measure speed and cost, print the table, write build/bench.json; ROW=P7 measures one
bench: deps-bench
	@$(MAKE) all $(BIN)/usb_bus $(BENCHES:%=$(OUT)/bin/%_bench)
	@$(MAKE) CC=arm-none-eabi-gcc bench-arm
	@python3 tests/bench/bench.py $(ROW)
## Judge the dashboard's first paint and frames, alone on the machine
bench-browser:
	@HUB_TIMES=1 $(MAKE) browser T=look.all_files
	@HUB_TIMES=1 $(MAKE) browser T=speed.ten
bench-arm: $(call obj,$(BENCH_ARM))
$(OUT)/bin/%_bench: $(OUT)/tests/bench/%_bench.o $(call obj,$(bench_shared)) $(OUT)/libhub.a
	@mkdir -p $(@D) && echo "LD $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@
objects: $(call obj,$(BENCH_SOURCES))
.SECONDARY: $(call obj,$(BENCH_SOURCES))
.PHONY: bench bench-browser bench-arm
