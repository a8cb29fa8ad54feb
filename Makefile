# egret. `make help` lists the targets; README.md says what they are for.

SHELL       := /bin/sh
GO          ?= go
ROOT        := $(CURDIR)
PREFIX      ?= /usr
SYSCONFDIR  ?= /etc
UNITDIR     ?= /usr/lib/systemd/system
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS     := -X main.version=$(VERSION)
# gRPC's request traces are pages of templates that nobody opens: 5 MB.
TAGS        := grpcnotrace
CONFIG      ?= configs/demo.yaml
FUZZTIME    ?= 10s
SOAK        ?= 1h

# The native library. TFLITE_ROOT=/path (with include/ and lib/) takes another
# copy than the pinned one: a vendor's, or a distribution's.
ARCH        := $(shell $(GO) env GOARCH)
NATIVE      := build/native/tflite-2.9.0/linux_$(ARCH)
ifdef TFLITE_ROOT
TFLITE_INC  := $(abspath $(TFLITE_ROOT))/include
TFLITE_LIB  := $(firstword $(patsubst %/,%,$(dir $(wildcard $(addprefix $(abspath $(TFLITE_ROOT))/,lib/libtensorflowlite_c.so libtensorflowlite_c.so lib/*/libtensorflowlite_c.so)))) $(ROOT)/build/native/link)
else
TFLITE_INC  := $(ROOT)/build/native/tflite-2.9.0/include
TFLITE_LIB  := $(ROOT)/$(NATIVE)
endif

# libjpeg-turbo goes into the binary where its archive is installed, so that the
# binary runs on machines without it. Where there is neither archive nor shared
# library yet, deps brings both.
jpeg_file    = $(filter /%,$(shell $(or $(CC),cc) -print-file-name=$(1) 2>/dev/null))
JPEG_LIBS   := $(or $(JPEG_LIBS),$(if $(call jpeg_file,libjpeg.a),-l:libjpeg.a,$(if $(call jpeg_file,libjpeg.so),-ljpeg,-l:libjpeg.a)))

# One set of flags for building, testing and editors (see `make env`), so that
# all share one build cache. The binary finds its library beside itself: in
# ../lib/egret where it is installed, in the build tree where it was built.
# Our own include folder comes last: it only fills in what a copy lacks.
export CGO_ENABLED     ?= 1
export CGO_CFLAGS      := -O2 -g -I$(TFLITE_INC) -I$(ROOT)/build/include
export CGO_LDFLAGS     := -O2 -g -L$(TFLITE_LIB) -Wl,-rpath,$$ORIGIN/../lib/egret -Wl,-rpath,$(if $(TFLITE_ROOT),$(TFLITE_LIB),$$ORIGIN/../$(NATIVE)) $(JPEG_LIBS)
export LD_LIBRARY_PATH := $(TFLITE_LIB)$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH))

.DEFAULT_GOAL := help
.PHONY: help deps build run test race lint vuln proto bench microbench fuzz e2e proofs soak powercut env install uninstall clean

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

deps: ## fetch the native library, the default models and missing packages
	@build/deps.sh

build: deps ## build bin/egret
	$(GO) build -trimpath -tags '$(TAGS)' -ldflags '$(LDFLAGS)' -o bin/egret ./cmd/egret

run: build ## run the demo: two folders of pictures, two models, a broker on 127.0.0.1:1883
	@# On a terminal, in a process group of its own: Ctrl-C is then for egret
	@# alone, which ends in order, and make reports its exit code.
	@if [ -t 0 ]; then set -m; fi; bin/egret run --config $(CONFIG) --print

test: ## run every test (installs Mosquitto and Chromium if they are missing)
	@DEPS_TEST=1 build/deps.sh
	$(GO) build -trimpath -tags '$(TAGS)' -ldflags '$(LDFLAGS)' -o bin/egret ./cmd/egret
	$(GO) test -timeout 30m ./...

race: ## run every test under the race detector
	@DEPS_TEST=1 build/deps.sh
	$(GO) test -race -timeout 30m ./...

lint: deps ## gofmt, go vet, staticcheck, shellcheck (if there), the units
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt -w these: $$out"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	CGO_ENABLED=0 $(GO) vet ./cmd/egret
	@if command -v shellcheck >/dev/null; then shellcheck -S warning $$(git ls-files '*.sh' .ci/run); else echo 'lint: shellcheck is not installed: shell scripts were not checked'; fi
	@systemd/verify.sh

vuln: ## look for known vulnerabilities (asks the Go vulnerability database)
	$(GO) tool govulncheck ./...

proto: ## write the Go code of the .proto files anew (needs no protoc)
	$(GO) run ./build/proto agent/api/serving/tfproto

bench: build ## measure against a C program, a naive loop and bare paho; MODELS=dir adds bundles
	@DEPS_TEST=1 build/deps.sh
	@mkdir -p bin bench
	$(or $(CC),cc) $(CGO_CFLAGS) -o bin/bench-raw test/bench/raw/raw.c -L$(TFLITE_LIB) -ltensorflowlite_c -ldl -Wl,-rpath,$(TFLITE_LIB)
	$(GO) build -o bin/bench-naive ./test/bench/naive
	$(GO) build -o bin/bench ./test/bench
	bin/bench -raw bin/bench-raw -naive bin/bench-naive -egret bin/egret -out bench/results.json $(if $(MODELS),-models $(MODELS))

microbench: deps ## run the packages' own benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

fuzz: deps ## run every fuzz target for FUZZTIME (default 10s) each
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg; done; done

e2e: build ## run the daemon under real systemd with a real camera driver, in a virtual machine
	@test/rig/e2e.sh

proofs: ## prove delivery and updates at length: kills, power cuts, damage, full disks, bad models (root; 40 minutes)
	@DEPS_TEST=1 build/deps.sh
	@test/proofs.sh

soak: build ## run the agent for SOAK (1h) with faults all the time, and judge whether it stays as it is
	@DEPS_TEST=1 build/deps.sh
	$(GO) build -o bin/soak ./test/soak
	@bin/soak -for $(SOAK) -egret bin/egret -out bench/soak.json -plot bench/soak.svg -log bench/soak.log $(if $(SEED),-seed $(SEED))

powercut: ## cut the power after every write of an outbox's disk, in a virtual machine (root; part of proofs)
	@test/rig/powercut.sh

env: ## print the environment that go, gopls and dlv need: eval "$(make env)"
	@printf "export CGO_CFLAGS='%s'\nexport CGO_LDFLAGS='%s'\nexport LD_LIBRARY_PATH='%s'\n" '$(CGO_CFLAGS)' '$(CGO_LDFLAGS)' '$(LD_LIBRARY_PATH)'

install: build ## install under DESTDIR: program, library, configuration, units, models
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/egret $(DESTDIR)$(SYSCONFDIR)/egret $(DESTDIR)$(UNITDIR) $(DESTDIR)/usr/lib/sysusers.d $(DESTDIR)/usr/lib/tmpfiles.d
	install -m 755 bin/egret $(DESTDIR)$(PREFIX)/bin/egret
	install -m 644 $(TFLITE_LIB)/libtensorflowlite_c.so $(DESTDIR)$(PREFIX)/lib/egret/
	[ -e $(DESTDIR)$(SYSCONFDIR)/egret/egret.yaml ] || install -m 644 configs/egret.yaml $(DESTDIR)$(SYSCONFDIR)/egret/egret.yaml
	install -m 644 systemd/egret.service $(DESTDIR)$(UNITDIR)/
	install -m 644 systemd/egret.sysusers $(DESTDIR)/usr/lib/sysusers.d/egret.conf
	install -m 644 systemd/egret.tmpfiles $(DESTDIR)/usr/lib/tmpfiles.d/egret.conf
	install -d $(DESTDIR)$(PREFIX)/share/egret
	cp -R models $(DESTDIR)$(PREFIX)/share/egret/

uninstall: ## remove what install put there; configuration and state stay
	rm -f $(DESTDIR)$(PREFIX)/bin/egret $(DESTDIR)$(UNITDIR)/egret.service $(DESTDIR)/usr/lib/sysusers.d/egret.conf $(DESTDIR)/usr/lib/tmpfiles.d/egret.conf
	rm -rf $(DESTDIR)$(PREFIX)/lib/egret $(DESTDIR)$(PREFIX)/share/egret
	@echo 'kept: $(DESTDIR)$(SYSCONFDIR)/egret and the state folder'

clean: ## remove what was built (not what was downloaded: rm -r build/native models samples)
	rm -rf bin dist var
