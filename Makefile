# qingfen: programs to bin/, objects to build/. The commands a person types are the ones CI runs.
#   make            programs          make demo     the main job, set-up included
#   make check      all tests         make bench    benchmarks, one JSON line each
#   SAN=1           address and undefined behaviour sanitizers      CC=clang   the other compiler
CC ?= gcc
Q := $(if $(V:0=),,@)
ifeq ($(origin CC),default)
CC := gcc
endif
PREFIX ?= /usr/local
V ?= 0

ifdef SAN
O := build/san-$(notdir $(CC))
B := $(O)/bin
OPT := -O1 -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined \
	$(if $(findstring clang,$(CC)),-D__SANITIZE_ADDRESS__)	# gcc says so itself
else
O := build/$(notdir $(CC))
B := bin
OPT := -O2
endif

PKGS := libevent libevent_openssl libevent_pthreads lmdb openssl libcurl yaml-0.1 jansson libzstd libxxhash libpcsclite
MSGPACK := $(shell pkg-config --exists msgpack-c 2>/dev/null && echo msgpack-c || echo msgpack)
CFLAGS ?= -g
# gcc clears and copies structures of some hundred bytes by "rep stos" and "rep movs", whose start takes longer than all of it by vectors
STRUCTS := -mmemset-strategy=vector_loop:512:noalign,libcall:-1:noalign -mmemcpy-strategy=libcall:-1:noalign
STRUCTS := $(shell $(CC) $(STRUCTS) -Werror -E -x c /dev/null >/dev/null 2>&1 && echo $(STRUCTS))
# Calls across files are compiled into their callers when a program or a benchmark is linked: 5 to 10 of a hundred of a clear and of ingest. Objects have both
# forms, and tests, of which there are many, are linked without. make LTO= : programs too, for who builds often.
ifndef SAN
LTO := -flto=auto -ffat-lto-objects
LTO := $(shell $(CC) $(LTO) -Werror -c -x c /dev/null -o /dev/null >/dev/null 2>&1 && echo $(LTO))
endif
ALL_CFLAGS := -std=c17 -D_GNU_SOURCE -I. -I$(O) $(OPT) $(STRUCTS) -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes \
	-Wswitch-enum -Wshadow -Wvla -Wno-missing-field-initializers -fstack-protector-strong -pthread \
	$(shell pkg-config --cflags $(PKGS) $(MSGPACK) p11-kit-1 2>/dev/null) $(CFLAGS)
LIBS := $(shell pkg-config --libs $(PKGS) $(MSGPACK) 2>/dev/null) -pthread -lm

src = $(filter-out %/main.c,$(wildcard $(1)/*.c))
obj = $(patsubst %.c,$(O)/%.o,$(1))
LIB_KEYS := $(call obj,$(call src,keys))
LIB_TARIFFS := $(call obj,$(call src,tariffs))
LIB_VALIDATOR := $(call obj,$(call src,validator))
LIB_CLEARING := $(call obj,$(call src,clearing) $(call src,clearing/core))
OBJ_TOOLS := $(call obj,$(call src,tools) $(call src,tools/sim))
ARCHIVES := $(O)/libclearing.a $(O)/libvalidator.a $(O)/libtariffs.a $(O)/libkeys.a
# libqfval: what a terminal links, position independent; the static one is one object that shows only qfv_ names.
QFVAL_SRC := $(addprefix validator/,qfval.c qfval_gate.c qfval_link.c qfval_download.c batch.c card.c cursor.c frame.c gate.c hotlist.c messages.c spool.c tap.c \
	tap_codec.c tlv.c uplink.c) $(call src,tariffs) keys/digest.c keys/mac.c keys/sm4_block.c
QFVAL := $(B)/libqfval.so.1 $(B)/libqfval.a
PROGRAMS := $(if $(wildcard clearing/main.c),$(B)/clearingd) $(if $(wildcard validator/main.c),$(B)/validatord) $(B)/qingfen
UNIT := $(patsubst tests/unit/%.c,$(O)/tests/%,$(wildcard tests/unit/test_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
BENCH := $(patsubst tests/bench/%.c,$(O)/bench/%,$(wildcard tests/bench/bench_*.c))
.SECONDARY:

all: $(PROGRAMS) $(QFVAL)
$(O)/libkeys.a: $(LIB_KEYS)
$(O)/libtariffs.a: $(LIB_TARIFFS)
$(O)/libvalidator.a: $(LIB_VALIDATOR)
$(O)/libclearing.a: $(LIB_CLEARING)
$(O)/clearing/layout.o: $(wildcard clearing/profiles/*.yaml)	# it has them in it
$(O)/%.a:
	@rm -f $@ && ar rcsD $@ $^
$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LTO) -MMD -MP -c $< -o $@
$(O)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections -MMD -MP -c $< -o $@
$(O)/pic/rest.a: $(patsubst %.c,$(O)/pic/%.o,$(QFVAL_SRC))
$(O)/pic/qfval.o: $(patsubst %.c,$(O)/pic/%.o,$(filter validator/qfval%,$(QFVAL_SRC))) $(O)/pic/rest.a
	@ld -r --gc-sections $$(nm -g --defined-only $(filter %.o,$^) | sed -n 's/.* T \(qfv_\)/-u \1/p') $^ -o $@
$(B)/libqfval.so.1: $(O)/pic/qfval.o validator/qfval.map	# clang leaves a sanitizer's functions to the program: not all are defined here then
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -shared -Wl,-soname,libqfval.so.1 -Wl,--version-script,validator/qfval.map -Wl,--gc-sections $(if $(SAN),,-z defs) \
		-o $@ $< -lcrypto -lxxhash
$(B)/libqfval.a: $(O)/pic/qfval.o
	@objcopy --wildcard --keep-global-symbol='qfv_*' $< $(O)/pic/libqfval.o && rm -f $@ && ar rcsD $@ $(O)/pic/libqfval.o
link = @mkdir -p $(@D); $(CC) $(ALL_CFLAGS) $(if $(LTO),-fno-lto) -o $@ $(filter %.o,$^) $(ARCHIVES) $(LIBS) $(1)
link_whole = @mkdir -p $(@D); $(CC) $(ALL_CFLAGS) $(LTO) -o $@ $(filter %.o,$^) $(ARCHIVES) $(LIBS)
$(B)/clearingd: $(O)/clearing/main.o $(ARCHIVES)
	$(link_whole)
$(B)/validatord: $(O)/validator/main.o $(ARCHIVES)
	$(link_whole)
$(B)/qingfen: $(OBJ_TOOLS) $(ARCHIVES)
	$(link_whole)
$(O)/tests/%: $(O)/tests/unit/%.o $(ARCHIVES)
	$(call link,-lcmocka)
$(O)/bench/%: $(O)/tests/bench/%.o $(ARCHIVES)
	$(link_whole)
# For the tests of key devices: a cipher machine by GM/T 0018, and what puts keys into devices.
DEVICES := $(O)/tests/sdf_stub.so $(O)/tests/ring_split
$(O)/tests/sdf_stub.so: tests/devices/sdf_stub.c
	@mkdir -p $(@D); $(CC) $(filter-out -fsanitize=%,$(ALL_CFLAGS)) -shared -fPIC -o $@ $< -lcrypto
$(O)/tests/ring_split: $(O)/tests/devices/ring_split.o $(ARCHIVES)
	$(call link)
# A fuzz target is one LLVMFuzzerTestOneInput; with gcc it is linked to a driver that runs the corpus.
$(O)/fuzz/%: $(O)/tests/fuzz/%.o $(O)/tests/fuzz/corpus_main.o $(ARCHIVES)
	$(call link)
fuzz-%: setup
	$(MAKE) CC=clang OPT="-O1 -fsanitize=fuzzer-no-link,address,undefined" O=build/fuzz $(addprefix build/fuzz/,libkeys.a libtariffs.a libvalidator.a libclearing.a)
	clang -std=c17 -D_GNU_SOURCE -I. -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_$*.c -o build/fuzz/fuzz_$* \
		$(addprefix build/fuzz/,libclearing.a libvalidator.a libtariffs.a libkeys.a) $(LIBS)
	mkdir -p tests/fuzz/corpus/$* build/fuzz/corpus-$*
	ASAN_OPTIONS=allocator_may_return_null=1 build/fuzz/fuzz_$* -max_total_time=$(or $(SECONDS_MAX),60) -rss_limit_mb=512 -timeout=1 build/fuzz/corpus-$* tests/fuzz/corpus/$*

setup:
	@tools/setup.sh
demo: setup
	@$(MAKE) --no-print-directory -j2 all && tests/demo.sh
check: setup
	@$(MAKE) --no-print-directory -j2 programs-and-tests && B=$(B) O=$(O) CC=$(CC) SAN=$(SAN) tests/run.sh
programs-and-tests: $(PROGRAMS) $(QFVAL) $(UNIT) $(FUZZ) $(DEVICES)
differential: setup	# ten million random records: lanes against OpenSSL
	@$(MAKE) --no-print-directory -j2 $(O)/tests/test_tac_batch && QINGFEN_RECORDS=10000000 $(O)/tests/test_tac_batch
random-tacs: setup	# ten million random TACs, none accepted
	@$(MAKE) --no-print-directory -j2 $(O)/tests/test_keys && QINGFEN_TACS=10000000 $(O)/tests/test_keys
bench: setup
	@$(MAKE) --no-print-directory -j2 all $(BENCH) && B=$(B) O=$(O) tests/bench.sh && $(MAKE) --no-print-directory bench-instructions
bench-instructions: setup	# by callgrind, of functions that stayed where they were written
	@$(MAKE) --no-print-directory -j2 LTO= O=build/plain B=build/plain/bin all $(addprefix build/plain/bench/bench_,tariff clear) && \
		B=build/plain/bin O=build/plain tests/bench_instructions.sh
bench-nation: setup	# one day through the real daemon: TAPS, CARDS, BUSES; a nation's by hand
	@$(MAKE) --no-print-directory -j2 all && B=$(B) TAPS=$(TAPS) CARDS=$(CARDS) BUSES=$(BUSES) tests/bench_nation.sh
bench-peers: setup	# the same taps into PostgreSQL 15; the last lines have the ratio
	@$(MAKE) --no-print-directory -j2 all && B=$(B) tests/bench_peers.sh
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	for n in 1 5 8; do install -m 644 docs/*.$$n $(DESTDIR)$(PREFIX)/share/man/man$$n; done
	install -d $(DESTDIR)$(PREFIX)/share/qingfen && cp -r tariffs/packs clearing/profiles $(DESTDIR)$(PREFIX)/share/qingfen
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/share/man/man3
	install -m 644 validator/qfval.h $(DESTDIR)$(PREFIX)/include && install -m 644 docs/*.3 $(DESTDIR)$(PREFIX)/share/man/man3
	install -d $(DESTDIR)$(PREFIX)/share/qingfen/vectors && install -m 644 tests/vectors/*.hex $(DESTDIR)$(PREFIX)/share/qingfen/vectors
	install -m 644 docs/example-terminal.c $(DESTDIR)$(PREFIX)/share/qingfen
	install -m 644 $(QFVAL) $(DESTDIR)$(PREFIX)/lib && ln -sf libqfval.so.1 $(DESTDIR)$(PREFIX)/lib/libqfval.so
	sed 's|@PREFIX@|$(PREFIX)|' validator/qfval.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/qfval.pc
abi: $(B)/libqfval.so.1	# the published interface of libqfval, after a change that is meant
	abidw --headers-dir validator --drop-private-types --no-corpus-path --no-comp-dir-path --no-show-locs $< --out-file tests/abi/libqfval.abi
clean:
	rm -rf build bin
.PHONY: all setup demo check programs-and-tests differential random-tacs bench bench-nation bench-peers install clean
-include $(shell find build -name '*.d' 2>/dev/null)
