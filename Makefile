# margind: build, run, test, measure. Plain make; `make help` lists the targets.

BUILD  ?= build
PREFIX ?= /usr/local
ifeq ($(origin CC),default)
CC := gcc
endif
SAN    ?=

# As many jobs at a time as there are processors, unless -j says how many.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif

# Layers, left to right: nothing includes to its right; names joined by a comma are siblings that do not
# include each other. tools/tidy reads these lines.
LAYERS         := include,base http,json,wire,csv event dedup,price,agg,account customer upload query pipeline recover api net,process config guard reload watch main
LAYERS_STORAGE := include,base column,pages text block file db seal amend,index,run,snapshot,table log order scan merge,verify,copy backup,store

WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wvla -Werror
CFLAGS  := -std=gnu17 $(if $(SAN),-O1 -g1,-O2 -g) $(WARN) -D_GNU_SOURCE -I. -Iinclude -Iengine -I$(BUILD)/gen -MMD -MP -pthread \
           $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
           $(if $(findstring address,$(SAN)),-D__SANITIZE_ADDRESS__=1) $(CFLAGS_EXTRA)
LDFLAGS := -pthread $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS_EXTRA)
LIBS    := -luring -llmdb -lxxhash -lroaring -lzstd -lz -lssl -lcrypto -linih -lseccomp

# Vector kernels live in files of their own, named after what they need.
%_avx2.o:   CFLAGS += -mavx2 -mbmi -mbmi2 -mlzcnt -mpclmul
%_avx512.o: CFLAGS += -mavx512f -mavx512bw -mavx512vl -mavx512vbmi -mavx512vbmi2 -mavx512dq -mavx2 -mbmi -mbmi2 -mlzcnt -mpclmul

# Loops over columns are written to be vectorised, which -O2 does not do for unknown counts.
%storage/column.o %storage/column_avx2.o %storage/column_avx512.o %storage/block.o %storage/block_read.o %storage/index.o %engine/event/native.o: CFLAGS += -O3

comma := ,
objects = $(patsubst %.c,$(BUILD)/%.o,$(1))

ENGINE_SRC  := $(filter-out engine/main.c,$(wildcard engine/*.c engine/*/*.c))
STORAGE_SRC := $(wildcard storage/*.c)
CLIENT_SRC  := $(wildcard tools/client/*.c) engine/base/buf.c engine/base/err.c engine/base/hash.c engine/json/time.c engine/wire/frame.c
DATA_SRC    := $(BUILD)/gen/data.c
UNIT_SRC    := $(wildcard tests/unit/*.c tests/unit/*/*.c)
SUPPORT_SRC := $(wildcard tests/support/*.c)
TOOLS       := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
MODELS      := $(patsubst tests/model/%.c,%,$(wildcard tests/model/*.c))
FUZZERS     := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
RACES       := $(patsubst tests/race/%.c,%,$(wildcard tests/race/*.c))
SIM_SRC     := $(wildcard tests/sim/*.c)
BENCHES     := $(patsubst bench/%.c,%,$(wildcard bench/*.c))

ENGINE  := $(BUILD)/libengine.a
STORAGE := $(BUILD)/libstorage.a
CLIENT  := $(BUILD)/libmargin.a
SUPPORT := $(BUILD)/libsupport.a

.PHONY: all help run test test-unit test-model test-fuzz-replay clang asan race fuzz crash crash-long sim test-sim test-sim-bugs sim-long system soak bench tidy install clean deps deps-test
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BUILD)/margind $(addprefix $(BUILD)/,$(TOOLS)) $(CLIENT)  ## build everything into build/

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*## +/\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

# --- building ---------------------------------------------------------------------------------------

$(BUILD)/%.o: %.c | deps
	@mkdir -p $(@D)
	@echo "CC $<"
	@$(CC) $(CFLAGS) -c $< -o $@

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c
	$(CC) $(CFLAGS) -c $< -o $@

# The checker stands alone, so that it runs while the rest does not build.
$(BUILD)/tidy: $(BUILD)/tools/tidy.o $(call objects,$(wildcard tools/tidy/*.c))
	@echo "LD $@" && $(CC) $(LDFLAGS) $^ -o $@

# Data the product carries: model prices, the schemas and the page of the documentation.
EMBED_FILES := $(wildcard engine/price/data/*.json engine/api/schema/*)
$(BUILD)/embed: $(BUILD)/tools/embed.o
	$(CC) $(LDFLAGS) $< -o $@
$(BUILD)/gen/data.c: $(BUILD)/embed $(EMBED_FILES)
	@mkdir -p $(@D)
	$(BUILD)/embed $(EMBED_FILES) > $@

$(ENGINE): $(call objects,$(ENGINE_SRC)) $(BUILD)/gen/data.o
	@rm -f $@ && ar rcs $@ $^
$(STORAGE): $(call objects,$(STORAGE_SRC))
	@rm -f $@ && ar rcs $@ $^
$(CLIENT): $(call objects,$(CLIENT_SRC))
	@rm -f $@ && ar rcs $@ $^
$(SUPPORT): $(call objects,$(SUPPORT_SRC))
	@rm -f $@ && ar rcs $@ $^

LINK = @echo "LD $@" && $(CC) $(LDFLAGS) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS) -o $@

$(BUILD)/margind: $(BUILD)/engine/main.o $(ENGINE) $(STORAGE)
	$(LINK)
# The server of tests/crash/points.py: dies at a place named on its command line (base/fault.h), and merges blocks
# sooner than a product. Only what has such places is compiled again; it comes before the archives.
FAULT_SRC := $(filter-out storage/log_write.c,$(shell grep -l '"base/fault.h"' engine/*.c engine/*/*.c storage/*.c))
FAULT_OBJ := $(patsubst %.c,$(BUILD)/faults/%.o,$(FAULT_SRC)) $(BUILD)/faults/small_log.o
$(BUILD)/faults/small_log.o: $(BUILD)/tests/sim/small_log.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -DFAULTS -Istorage -c $< -o $@
$(BUILD)/faults/%.o: %.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -DFAULTS -c $< -o $@
$(BUILD)/margind-faults: $(FAULT_OBJ) $(ENGINE) $(STORAGE)
	$(LINK)
# Preloaded into the server by tests/crash/calls.py.
$(BUILD)/failing.so: tests/crash/failing.c
	@echo "LD $@" && $(CC) $(filter-out -MMD -MP,$(CFLAGS)) -fPIC -shared $< -ldl -o $@
# A tool is tools/NAME.c and what is in the folder tools/NAME, if there is one.
.SECONDEXPANSION:
$(addprefix $(BUILD)/,$(filter-out embed tidy,$(TOOLS))): $(BUILD)/%: $(BUILD)/tools/%.o \
    $$(call objects,$$(wildcard tools/$$*/*.c)) $(CLIENT) $(ENGINE) $(STORAGE)
	$(LINK) -lm
$(BUILD)/unit: $(call objects,$(UNIT_SRC)) $(SUPPORT) $(CLIENT) $(ENGINE) $(STORAGE)
	$(LINK) -lcriterion
$(addprefix $(BUILD)/,$(MODELS)): $(BUILD)/%: $(BUILD)/tests/model/%.o $(SUPPORT) $(CLIENT) $(ENGINE) $(STORAGE)
	$(LINK) $(if $(filter json_model,$(@F)),-ljansson -Wl$(comma)--exclude-libs$(comma)ALL) -lm
# Its directory is small, and yet has segments.
$(BUILD)/damage_model: $(BUILD)/tests/sim/small_log.o
$(addprefix $(BUILD)/,$(RACES)): $(BUILD)/%: $(BUILD)/tests/race/%.o $(SUPPORT) $(CLIENT) $(ENGINE) $(STORAGE)
	$(LINK)
$(addprefix $(BUILD)/replay-,$(FUZZERS)): $(BUILD)/replay-%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/replay.o $(SUPPORT) $(CLIENT) $(ENGINE) $(STORAGE)
	$(LINK)
$(addprefix $(BUILD)/,$(FUZZERS)): $(BUILD)/%: $(BUILD)/tests/fuzz/%.o $(SUPPORT) $(CLIENT) $(ENGINE) $(STORAGE)
	$(LINK) -fsanitize=fuzzer
$(addprefix $(BUILD)/bench-,$(filter-out decode,$(BENCHES))): $(BUILD)/bench-%: $(BUILD)/bench/%.o $(SUPPORT) $(CLIENT) $(ENGINE) $(STORAGE)
	$(LINK) -lm
# The simulation: the server's main() as a function, every call to the system answered by tests/sim. LMDB is
# linked in, so that its calls are, too, and blocks are merged sooner than in a product.
SIM_WRAPS := $(shell cat tests/sim/wraps.txt)
comma     := ,
SIM_OBJ   := $(call objects,$(SIM_SRC)) $(BUILD)/tests/sim/margind_main.o $(BUILD)/tests/sim/small_log.o
SIM_LIBS  := $(SUPPORT) $(CLIENT) $(ENGINE) $(STORAGE)
# A killed process begins anew with the data of the program; that of a sanitizer must not be among it.
SIM_RUNTIME = $(if $(and $(SAN),$(findstring clang,$(CC))),-shared-libasan \
              -Wl$(comma)-rpath$(comma)$(dir $(shell $(CC) -print-file-name=libclang_rt.asan-$(shell uname -m).so)))
LINK_SIM   = @echo "LD $@" && $(CC) $(LDFLAGS) $(SIM_RUNTIME) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
             $(addprefix -Wl$(comma)--wrap=,$(SIM_WRAPS)) $(subst -llmdb,-l:liblmdb.a,$(LIBS)) -o $@
$(BUILD)/tests/sim/margind_main.o: engine/main.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -Dmain=margind_main -c $< -o $@
$(BUILD)/tests/sim/small_log.c: storage/log_write.c tests/sim/small_log.sed
	@mkdir -p $(@D)
	@sed -f tests/sim/small_log.sed $< > $@
	@! cmp -s $< $@ || { echo "tests/sim/small_log.sed finds nothing in $<"; exit 1; }
$(BUILD)/tests/sim/small_log.o: $(BUILD)/tests/sim/small_log.c
	@$(CC) $(CFLAGS) -Istorage -c $< -o $@
$(BUILD)/sim: $(SIM_OBJ) $(SIM_LIBS) tests/sim/wraps.txt
	$(LINK_SIM)
# The same with a bug on purpose: tests/sim/bugs/NAME.patch changes one file of the product.
SIM_BUGS := $(patsubst tests/sim/bugs/%.patch,%,$(wildcard tests/sim/bugs/*.patch))
$(BUILD)/sim-bug-%: tests/sim/bugs/%.patch $(BUILD)/sim
	@echo "LD $@" && mkdir -p $(BUILD)/tests/sim/bugs/$*
	@patch -s -o $(BUILD)/tests/sim/bugs/$*/bug.c "$$(sed -n 's,^--- a/,,p' $<)" $<
	@main=$$(grep -q '^--- a/engine/main.c' $< && echo -Dmain=margind_main); \
	  $(CC) $(CFLAGS) -I$$(dirname "$$(sed -n 's,^--- a/,,p' $<)") $$main -c $(BUILD)/tests/sim/bugs/$*/bug.c -o $(BUILD)/tests/sim/bugs/$*/bug.o
	@$(CC) $(LDFLAGS) $(BUILD)/tests/sim/bugs/$*/bug.o $(filter-out $(if $(findstring engine/main.c,$(shell cat $<)),%/margind_main.o),$(SIM_OBJ)) \
	  -Wl,--start-group $(SIM_LIBS) -Wl,--end-group $(addprefix -Wl$(comma)--wrap=,$(SIM_WRAPS)) $(subst -llmdb,-l:liblmdb.a,$(LIBS)) -o $@
# The one C++ file: simdjson, the parser to beat.
$(BUILD)/bench/simdjson_peer.o: bench/simdjson_peer.cc
	@mkdir -p $(@D)
	@tools/deps.sh bench
	g++ -std=c++17 -O2 -Wall -Wextra -c $< -o $@
$(BUILD)/bench-decode: $(BUILD)/bench/decode.o $(BUILD)/bench/simdjson_peer.o $(SUPPORT) $(CLIENT) $(ENGINE) $(STORAGE)
	$(LINK) -lsimdjson -lstdc++ -lm
# The race against other stores: their client libraries, and nothing that `make test` builds.
RACE_LIBS := -lpq -lhiredis -lsqlite3 -lcurl
$(BUILD)/bench/race/%.o: CFLAGS += -I/usr/include/postgresql
$(BUILD)/race-peers: $(call objects,$(wildcard bench/race/*.c)) $(CLIENT) $(ENGINE) $(STORAGE)
	$(LINK) $(RACE_LIBS) -lm

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# --- what is needed, from Debian -----------------------------------------------------------------------

deps:
	@tools/deps.sh build
deps-test: deps
	@tools/deps.sh test

# --- testing: `make test` is the whole truth, the others are its parts ----------------------------------

test: deps-test tidy  ## build and run every test
	$(MAKE) all test-unit test-model test-fuzz-replay test-sim
	$(MAKE) asan
	$(MAKE) race
	$(MAKE) system
	$(MAKE) crash
	@echo "all tests passed"

# Programs run side by side, each by a target of its own.
RUN_ONE := tests/support/run-one.sh
.PHONY: sim-seeds sim-twice sim-few race-run \
    $(addprefix run-,$(MODELS)) $(addprefix replay-,$(FUZZERS)) $(addprefix run-bug-,$(SIM_BUGS))

test-unit: $(BUILD)/unit | deps-test  ## unit tests
	tests/support/run-unit.sh $(BUILD)/unit

test-model: $(addprefix run-,$(MODELS))  ## random operations against naive oracles
$(addprefix run-,$(MODELS)): run-%: $(BUILD)/% | deps-test
	@$(RUN_ONE) $< $(SEED)

test-fuzz-replay: $(addprefix replay-,$(FUZZERS))  ## every input the fuzzers ever kept
$(addprefix replay-,$(FUZZERS)): replay-%: $(BUILD)/replay-% | deps-test
	@$(RUN_ONE) $< tests/fuzz/corpus/$*

SIM_SEEDS ?= 300
SIM_JOBS  ?= $(shell nproc)
sim: $(BUILD)/sim | deps-test  ## one run of the simulation, told at length: make sim SEED=7
	$(BUILD)/sim --seed $(or $(SEED),1) --verbose

test-sim: sim-seeds sim-twice test-sim-bugs  ## the whole server on a simulated machine that fails, SIM_SEEDS times
sim-seeds: $(BUILD)/sim | deps-test
	@$(RUN_ONE) $< --seeds $(SIM_SEEDS) --jobs $(SIM_JOBS)
sim-twice: $(BUILD)/sim | deps-test
	@$(RUN_ONE) $< --seeds 5 --twice
sim-few: $(BUILD)/sim | deps-test
	@$(RUN_ONE) $< --first 5000 --seeds 20 --jobs $(SIM_JOBS)

test-sim-bugs: $(addprefix run-bug-,$(SIM_BUGS))  ## bugs on purpose: the simulation must find each
$(addprefix run-bug-,$(SIM_BUGS)): run-bug-%: $(BUILD)/sim-bug-% | deps-test
	@$(RUN_ONE) $< --seeds 100 --expect-failure

sim-long: $(BUILD)/sim | deps-test  ## as many seeds as fit in ten minutes, from FIRST on
	$(BUILD)/sim --first $(or $(FIRST),100000) --seconds 600 --jobs $(SIM_JOBS)

clang: deps-test  ## build everything with the other compiler: its warnings are errors, too
	$(MAKE) CC=clang BUILD=$(BUILD)/clang all test-programs

asan: deps-test  ## the other compiler's build of everything: unit tests, models and corpora under ASan and UBSan
	$(MAKE) CC=clang BUILD=$(BUILD)/asan SAN=address,undefined all test-programs test-unit test-model test-fuzz-replay sim-few

race: deps-test  ## threaded tests under ThreadSanitizer
	$(MAKE) BUILD=$(BUILD)/race SAN=thread race-run
# One after the other: threads that wait for each other need the processors for themselves.
race-run: $(addprefix $(BUILD)/,$(RACES))
	@set -e; for t in $(RACES); do TSAN_OPTIONS=halt_on_error=1 $(RUN_ONE) $(BUILD)/$$t; done

FUZZ_SECONDS ?= 60
fuzz: deps-test  ## coverage-guided fuzzing, FUZZ_SECONDS each (clang)
	$(MAKE) BUILD=$(BUILD)/fuzz CC=clang SAN=address,undefined CFLAGS_EXTRA=-fsanitize=fuzzer-no-link fuzz-run
.PHONY: fuzz-run
fuzz-run: $(addprefix $(BUILD)/,$(FUZZERS))
	@bad=; for t in $(FUZZERS); do mkdir -p $(BUILD)/corpus/$$t tests/fuzz/corpus/$$t; echo "fuzz $$t"; \
	  $(BUILD)/$$t -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -artifact_prefix=tests/fuzz/corpus/$$t/ \
	  $(BUILD)/corpus/$$t tests/fuzz/corpus/$$t >$(BUILD)/corpus/$$t.log 2>&1 || { bad="$$bad $$t"; tail -20 $(BUILD)/corpus/$$t.log; }; \
	  grep -h "^Done" $(BUILD)/corpus/$$t.log || true; done; [ -z "$$bad" ] || { echo "found something:$$bad"; exit 1; }

.PHONY: test-programs
# Benchmarks, too, so that they do not rot; all but simdjson's half of one.
test-programs: $(BUILD)/unit $(BUILD)/sim $(BUILD)/margind-faults $(BUILD)/failing.so $(addprefix $(BUILD)/,$(MODELS) $(RACES)) $(addprefix $(BUILD)/replay-,$(FUZZERS)) \
    $(addprefix $(BUILD)/bench-,$(filter-out decode,$(BENCHES))) $(BUILD)/bench/decode.o

system: deps-test all $(BUILD)/margind-faults $(BUILD)/failing.so  ## tests that start the real server
	python3 tests/system/run.py --build $(BUILD)

crash: crash-rounds crash-points crash-calls  ## kill the server under load and at every step, fail its calls, check every acknowledged event
crash-rounds: all | deps-test
	python3 tests/crash/run.py --build $(BUILD)
crash-points: all $(BUILD)/margind-faults | deps-test
	python3 tests/crash/points.py --build $(BUILD)
crash-calls: all $(BUILD)/margind-faults $(BUILD)/failing.so | deps-test
	python3 tests/crash/calls.py --build $(BUILD)
.PHONY: crash-rounds crash-points crash-calls

crash-long: deps-test all $(BUILD)/margind-faults $(BUILD)/failing.so  ## the same at later times, on both edges: minutes
	python3 tests/crash/points.py --build $(BUILD) --long
	python3 tests/crash/calls.py --build $(BUILD) --long

MINUTES ?= 15
soak: deps-test all  ## full load beside hostile clients for MINUTES; memory must stay flat
	python3 tests/soak/run.py --build $(BUILD) --minutes $(MINUTES)

tidy: $(BUILD)/tidy  ## style and layering
	@tests/support/tidy-selftest.sh $(BUILD)/tidy
	@$(BUILD)/tidy --layers "$(LAYERS)" --layers-storage "$(LAYERS_STORAGE)" .

# --- running and installing ----------------------------------------------------------------------------

run: all  ## start the server on ./data with sample events
	@tools/run.sh $(BUILD)

bench: all $(addprefix $(BUILD)/bench-,$(BENCHES))  ## measure; prints each figure with its ratio
	@tools/deps.sh bench
	@bench/run.sh $(BUILD)

.PHONY: bench-growth bench-restart
bench-growth: all $(BUILD)/bench-decode  ## curves over stored events, customers, batches, connections; see build/bench/index.html
	@tools/deps.sh bench
	@python3 bench/growth.py $(BUILD) $(CURVES)

bench-restart: all  ## seconds to ready from snapshot and from log, against the log's read speed
	@tools/deps.sh bench
	@python3 bench/restart.py $(BUILD)

.PHONY: race-peers
race-peers: all  ## the same events through PostgreSQL, Redis, ClickHouse, SQLite and margind; one table
	@tools/deps.sh race
	@$(MAKE) --no-print-directory $(BUILD)/race-peers
	@$(BUILD)/race-peers --build $(BUILD) $(PEERS)

install: all  ## install to $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include/margin $(DESTDIR)$(PREFIX)/lib
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,@PREFIX@,$(PREFIX),' tools/margind.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/margind.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/margind.service
	install -m 755 $(BUILD)/margind $(BUILD)/marginctl $(BUILD)/margin-load $(DESTDIR)$(PREFIX)/bin
	# In a folder of their own: a limits.h in /usr/local/include would be taken for the C library's.
	install -m 644 include/margin.h include/wire.h include/limits.h include/base.h $(DESTDIR)$(PREFIX)/include/margin
	install -m 644 $(CLIENT) $(DESTDIR)$(PREFIX)/lib

clean:  ## remove what was built
	rm -rf $(BUILD)
