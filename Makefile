# egret. `make help` lists the targets; README.md says what they are for.

SHELL       := /bin/sh
GO          ?= go
ROOT        := $(CURDIR)
PREFIX      ?= /usr
SYSCONFDIR  ?= /etc
UNITDIR     ?= /usr/lib/systemd/system
VERSION     ?= $(shell git describe --tags --always --dirty --abbrev=12 2>/dev/null || echo devel)
COMMIT      ?= $(shell git rev-parse HEAD 2>/dev/null)
# The commit's time, in seconds, is the only time that goes into what is built.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
DATE        ?= $(shell date -u -d @$(SOURCE_DATE_EPOCH) +%Y-%m-%dT%H:%M:%SZ)
MAINTAINER  ?= egret maintainers <egret@users.noreply.github.com>
DEB_VERSION ?= $(shell SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) build/deb.sh version '$(VERSION)')
LDFLAGS     := -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)
# gRPC's request traces are pages of templates that nobody opens: 5 MB.
TAGS        := grpcnotrace
CONFIG      ?= configs/demo.yaml
FUZZTIME    ?= 10s
SOAK        ?= 1h

# The native library. TFLITE_ROOT=/path (with include/ and lib/) takes another
# copy than the pinned one: a vendor's, or a distribution's.
HOST_ARCH   := $(shell $(GO) env GOARCH 2>/dev/null)
ARCH        ?= $(HOST_ARCH)
NATIVE      := build/native/tflite-2.9.0/linux_$(HOST_ARCH)
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
.PHONY: help deps build run test test-arm64 race lint vuln proto bench microbench fuzz e2e proofs soak powercut image container-test cross deb dist reproducible package-test env stage install uninstall clean

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

test-arm64: deps ## run every test on an emulated arm64 processor (root; some two hours: docs/TESTING.md); PKG='agent tflite' runs some
	@DEPS_TEST=1 build/deps.sh
	@build/deps.sh cross emulator
	@test/arm64/run.sh $(PKG)

race: ## run every test under the race detector
	@DEPS_TEST=1 build/deps.sh
	$(GO) test -race -timeout 30m ./...

lint: deps ## gofmt, go vet, staticcheck, shellcheck (if there), the units
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt -w these: $$out"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	CGO_ENABLED=0 $(GO) vet -tags mandoc ./cmd/egret
	@if command -v shellcheck >/dev/null; then shellcheck -S warning $$(git ls-files '*.sh' .ci/run build/debian/postinst build/debian/prerm build/debian/postrm); else echo 'lint: shellcheck is not installed: shell scripts were not checked'; fi
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

e2e: ## check the package under real systemd, in a container and a virtual machine with cameras (ARCH=arm64, RIG=container; root)
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

image: ## build the container image; ENGINE=docker, podman or buildah, PLATFORM=linux/arm64
	@VERSION='$(VERSION)' COMMIT='$(COMMIT)' DATE='$(DATE)' build/image.sh

container-test: ## build the container image and run it beside a real broker (root and podman)
	@test/container/check.sh

cross: deps ## build dist/linux_{amd64,arm64}/egret, and the operator's tool for every system
	@build/deps.sh cross
	@$(RELEASE) build/cross.sh all

env: ## print the environment that go, gopls and dlv need: eval "$(make env)"; ARCH=arm64 for a cross build
	@$(if $(filter $(HOST_ARCH),$(ARCH)),,build/deps.sh cross && build/cross.sh env $(ARCH) && exit;) printf "export CGO_CFLAGS='%s'\nexport CGO_LDFLAGS='%s'\nexport LD_LIBRARY_PATH='%s'\n" '$(CGO_CFLAGS)' '$(CGO_LDFLAGS)' '$(LD_LIBRARY_PATH)'

# What the scripts below build/ take from here.
RELEASE      = GO='$(GO)' VERSION='$(VERSION)' DEB_VERSION='$(DEB_VERSION)' COMMIT='$(COMMIT)' DATE='$(DATE)' TAGS='$(TAGS)' MAINTAINER='$(MAINTAINER)' SOURCE_DATE_EPOCH='$(SOURCE_DATE_EPOCH)'

deb: cross ## build dist/egret_<version>_{amd64,arm64}.deb
	@$(RELEASE) build/share.sh dist/linux_$(HOST_ARCH)/egret
	@$(RELEASE) build/deb.sh amd64
	@$(RELEASE) build/deb.sh arm64

dist: deb ## build all that is given to people: packages, the tool's archives, SBOMs, SHA256SUMS
	@$(RELEASE) build/dist.sh

reproducible: ## build everything twice, in different places, and compare the bytes
	@build/reproducible.sh

package-test: dist ## look into what make dist built: files, modes, dependencies, SBOM, sums
	EGRET_DIST=$(ROOT)/dist $(GO) test -count=1 ./test/packages

stage: build ## make all that install puts in place
	@$(RELEASE) build/share.sh bin/egret
	@cp $(TFLITE_LIB)/libtensorflowlite_c.so dist/share/

install: ## install under DESTDIR what `make stage` made: program, library, configuration, units, models, manual pages
	@# No build here: root mostly has no Go, and should own nothing in the tree.
	@[ -e dist/share/libtensorflowlite_c.so ] || { echo 'install: there is nothing to install yet: make stage' >&2; exit 1; }
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' UNITDIR='$(UNITDIR)' build/install.sh install bin/egret dist/share/libtensorflowlite_c.so

uninstall: ## remove what install put there; configuration and state stay
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' UNITDIR='$(UNITDIR)' build/install.sh uninstall

clean: ## remove what was built (not what was downloaded: rm -r build/native models samples)
	rm -rf bin dist var
