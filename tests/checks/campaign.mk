# Power lost on the record store by the million: tests/firmware/store_cuts.h.

CUTS := 1000000
campaign_rig := $(addprefix tests/firmware/store_,cuts.c damage.c workloads.c rig.c rig_image.c)
CAMPAIGN_SOURCES := $(wildcard tests/campaign/*.c)

## Lose power CUTS=1000000 times on the record store; ID=… runs one cut again, LIFE=N other lives
campaign: $(OUT)/bin/store_campaign
	@$< $(or $(ID),--cuts $(CUTS) $(if $(LIFE),--life $(LIFE)))
$(OUT)/bin/store_campaign: $(call obj,tests/campaign/store_campaign.c $(campaign_rig)) $(OUT)/libhub.a
	@mkdir -p $(@D) && echo "LD $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@
objects: $(call obj,$(CAMPAIGN_SOURCES))
check-campaign: check-gcc
	$(STEP) $(MAKE) campaign
.SECONDARY: $(call obj,$(CAMPAIGN_SOURCES))
.PHONY: campaign check-campaign

## Plant one bug at a time in the record store and see it caught; T=text plants some
planted-store: $(OUT)/bin/store_campaign $(BIN)/unit
	@python3 tests/checks/planted_store.py $(if $(T),'$(T)')
.PHONY: planted-store
