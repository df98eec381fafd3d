# SPDX-License-Identifier: Apache-2.0
#
# make diagnose   build and diagnose this host
# make test       install what the tests need, and run all tests

GO      ?= go
SUDO    := $(if $(filter 0,$(shell id -u)),,sudo)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
CLANG   ?= clang-16
DURATION ?= 30s

.DEFAULT_GOAL := build
.PHONY: check-tutorial check-reference check-compose check-kube check-dist check-systemd check-chart check-node check-otlp check-kernels check-soak check-race check-fuzz \
	help build diagnose test unit live functions kernels bench bench-large race fuzz soak generate check-generated lint deps deps-generate clean \
	matrix healthy right-size reference reference-up reference-down reference-load reference-smoke reference-test tutorial faults fault compose-check kube-check otlp-check \
	image dist dist-check systemd-check manifest chart-check e2e-kube screenshots

help: ## list the main targets and the checks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | grep -v '^check-' | sed -E 's/:[^#]*## /\t/' | expand -t 18
	@echo; echo Checks:
	@grep -hE '^check-[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

build: ## build bin/headroom, a static binary; needs only Go
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X github.com/headroom-project/headroom/cmd/headroom/internal/host.version=$(VERSION)' -o bin/headroom ./cmd/headroom

diagnose: build ## build headroom and diagnose this host (DURATION=30s)
	$(SUDO) bin/headroom diagnose --duration $(DURATION)

test: deps unit live check-tutorial ## install what the tests need, and run all tests (root)

# Tests that load eBPF, create cgroups or drop privileges need root. All tests run
# as root, so that none is skipped unnoticed.
AS_ROOT := $(SUDO) env "PATH=$$PATH" "HOME=$$HOME"

GO_DIRS := agent analyzers bpf cmd dashboards deploy internal lab examples scripts
# Packages with a target of their own.
NOT_UNIT := -e /lab/live -e /lab/kubeapi -e /lab/kubenode -e /lab/guest -e /lab/chart -e /examples/reference$$ -e /examples/reference/compose$$

unit: ## run vet, gofmt and all tests except the live ones (root)
	@test -z "$$(gofmt -l $(GO_DIRS))" || { echo "not gofmt-ed:"; gofmt -l $(GO_DIRS); exit 1; }
	scripts/modules.sh $(GO) vet ./...
	$(AS_ROOT) scripts/modules.sh sh -c '$(GO) test "$$@" $$($(GO) list ./... | grep -v $(NOT_UNIT))' unit $(TESTFLAGS)

live: build ## run the scenarios of lab/live: real servers with real faults (root)
	$(AS_ROOT) scripts/live.sh $(GO) test -C lab $(TESTFLAGS) -count=1 -timeout 25m ./live

# The reference shop (examples/reference): a backend to run headroom beside.
SHOP := examples/reference
RATE ?= 40
SEED ?= 1

reference: # build bin/shop and install the npm packages of its services
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/shop ./$(SHOP)/host
	@cmp -s $(SHOP)/package-lock.json $(SHOP)/node_modules/.lock || { \
		cd $(SHOP) && npm ci --no-audit --no-fund --ignore-scripts && cp package-lock.json node_modules/.lock; }

reference-up: ## start the reference shop on this host, on loopback (root)
	scripts/deps.sh $(SHOP)/packages.txt
	@$(MAKE) --no-print-directory reference
	@$(SUDO) bin/shop up -source $(SHOP)

reference-down: ## stop the reference shop and remove what it created (root)
	@test -x bin/shop || CGO_ENABLED=0 $(GO) build -trimpath -o bin/shop ./$(SHOP)/host
	@$(SUDO) bin/shop down

reference-load: ## generate load and print latencies (RATE=40 a second, DURATION=30s, SEED=1)
	@bin/shop load -rate $(RATE) -duration $(DURATION) -seed $(SEED)

faults: # list the faults of the shop, and what to watch
	@test -x bin/shop || CGO_ENABLED=0 $(GO) build -trimpath -o bin/shop ./$(SHOP)/host
	@bin/shop faults

fault: ## switch a fault of the shop on or off: make fault NAME=sync-crypto LEVEL=200ms (LEVEL=off)
	@$(SUDO) bin/shop fault $(NAME) $(LEVEL)

check-tutorial: build ## commands and output of docs/tutorial.md (root)
	scripts/deps.sh $(SHOP)/packages.txt
	@$(MAKE) --no-print-directory reference
	$(AS_ROOT) $(GO) test $(TESTFLAGS) -count=1 -timeout 10m -run 'TestTutorial$$' ./$(SHOP)

reference-smoke: # one fault of the shop, in less than a minute (root)
	scripts/deps.sh $(SHOP)/packages.txt
	@$(MAKE) --no-print-directory reference
	$(AS_ROOT) REFERENCE_FAULTS=sync-crypto $(GO) test $(TESTFLAGS) -count=1 -timeout 3m -run '^TestShop$$' ./$(SHOP)

check-reference: build ## reference shop: start, load, faults, fixes, answers, stop (root)
	scripts/deps.sh $(SHOP)/packages.txt
	@$(MAKE) --no-print-directory reference
	$(AS_ROOT) REFERENCE_ANSWERS=$(CURDIR)/bin/headroom $(GO) test $(TESTFLAGS) -count=1 -timeout 30m ./$(SHOP)

check-compose: ## docker compose project of the shop, as far as possible without a registry (root)
	$(AS_ROOT) scripts/compose-check.sh

check-kube: build ## manifests and agent against a real API server; first run builds it (root, 15 min)
	$(AS_ROOT) scripts/kube-check.sh
	$(AS_ROOT) $(GO) test -C lab $(TESTFLAGS) -count=1 -timeout 10m ./kubeapi

image: # build dist/headroom-VERSION-image.tar without a container engine (IMAGE=headroom:dev)
	VERSION=$(VERSION) scripts/dist.sh image

dist: ## build all packages in dist/: binaries, image, chart, tarballs, Debian packages, SBOMs
	VERSION=$(VERSION) scripts/dist.sh

check-dist: dist ## packages of dist with containerd, dpkg and systemd (root)
	$(AS_ROOT) scripts/dist-check.sh

check-systemd: dist ## Debian package on a real systemd, in QEMU (root, 6 min)
	scripts/deps.sh bpf/kernels/packages.txt lab/systemd/packages.txt
	scripts/qemu.sh
	$(AS_ROOT) lab/systemd/run.sh

manifest: # generate deploy/daemonset.yaml from the chart
	scripts/manifest.sh

check-chart: ## Helm chart: rendered objects and rejected values
	$(GO) test -C lab $(TESTFLAGS) -count=1 ./chart

check-node: ## chart on a real node: kubelet, API server, containerd; first run builds them (root, 20 min)
	scripts/deps.sh lab/kubenode/packages.txt
	@$(MAKE) --no-print-directory image IMAGE=docker.io/library/headroom:e2e
	$(AS_ROOT) HEADROOM_IMAGE=$(CURDIR)/dist/headroom-$(VERSION)-image.tar $(GO) test -C lab $(TESTFLAGS) -v -count=1 -timeout 20m ./kubenode

screenshots: # render every dashboard with data in docs/screenshots (root, 10 min)
	$(AS_ROOT) scripts/screenshots.sh

check-otlp: build ## agent against a real OpenTelemetry Collector; first run builds it (root)
	scripts/deps.sh deploy/packages.txt
	$(AS_ROOT) scripts/otlp-check.sh

KERNELS ?= 5.10 6.1 6.12 7.2

check-kernels: build ## probes and program on other kernels in QEMU (KERNELS=5.10 6.1 6.12 7.2)
	scripts/deps.sh lab/packages.txt bpf/kernels/packages.txt
	scripts/qemu.sh
	bpf/kernels/run.sh $(KERNELS)

bench: build ## measure the overhead of headroom; see docs/benchmarks.md (root)
	$(AS_ROOT) $(GO) test -run '^$$' -bench . ./agent/... ./analyzers/... ./bpf/... ./cmd/...
	$(GO) build -C lab -o ../bin/bench ./bench
	$(AS_ROOT) bin/bench

bench-large: build # the agent beside 5,000 processes in 500 cgroups: CPU, memory, series (root, 3 min)
	$(GO) build -C lab -o ../bin/bench ./bench
	$(AS_ROOT) bin/bench -headroom bin/headroom -loads agent -processes 5000 -pods 500 -settle 60s

# Accuracy (docs/accuracy.md): a cell takes a quarter of a minute. If a package cannot
# be installed, its cells are reported as not run.
MATRIX ?=
STATES ?=
MODE ?= matrix

NODES ?= 18 20 22 24
functions: ## name the functions of each major version of Node.js (root, network, 5 min; NODES="18 20 22 24")
	for v in $(NODES); do npm install --silent --no-audit --no-fund --prefix bin/node-$$v node@$$v || exit; done
	$(AS_ROOT) HEADROOM_NODES="$$(for v in $(NODES); do printf %s: "$$PWD/bin/node-$$v/node_modules/node/bin/node"; done | sed 's/:$$//')" \
		$(GO) test -C lab -count=1 -v ./functions

matrix: build ## runtimes in faulty states: what headroom finds; writes docs/accuracy.md (MATRIX=node,redis STATES=burn; root, 1 h)
	-scripts/deps.sh lab/matrix/packages.txt
	$(GO) build -C lab -o ../bin/matrix ./matrix
	$(AS_ROOT) bin/matrix -mode '$(MODE)' -only '$(MATRIX)' -states '$(STATES)'

right-size: # sizes beside those of VPA and KRR on public traces; writes docs/accuracy-right-size.md (NAB= and NEZHA=: clones)
	$(GO) run -C lab ./rightsize -nab $(abspath $(NAB)) -nezha $(abspath $(NEZHA)) -o $(CURDIR)/docs/accuracy-right-size.md

healthy: ## healthy programs, and a healthy service beside builds: no warning; writes docs/accuracy.md (root, 40 min)
	@$(MAKE) --no-print-directory matrix MODE=healthy
	@$(MAKE) --no-print-directory matrix MODE=builds MATRIX=

check-soak: build ## agent under changing load for an hour (DURATION=1h; root)
	$(GO) build -C lab -o ../bin/soak ./soak
	$(AS_ROOT) bin/soak -duration $(if $(filter 30s,$(DURATION)),1h,$(DURATION))

# Packages with more than one goroutine.
RACE := ./agent/archive ./agent/export/... ./agent/history ./agent/identity ./agent/kube/... ./agent/ledger ./agent/observe \
	./agent/patience ./agent/run ./agent/sampler ./agent/sampler/fd ./agent/sampler/heap ./agent/sampler/ports ./agent/serve \
	./agent/store ./analyzers/publish/... ./analyzers/state ./bpf/files ./cmd/headroom/...

check-race: ## packages with goroutines under the race detector (root; C compiler)
	$(AS_ROOT) CGO_ENABLED=1 $(GO) test -race -count=1 $(RACE)

check-fuzz: ## fuzz each parser for a minute
	scripts/fuzz.sh

generate: deps-generate ## regenerate eBPF objects, docs, dashboards and notices
	CLANG=$(CLANG) $(GO) generate ./bpf/...
	$(GO) run ./cmd/headroom docs .
	$(GO) generate ./dashboards
	scripts/notices.sh

lint: ## run staticcheck and go mod tidy on each Go module, and clang-format for bpf/
	scripts/modules.sh $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	scripts/modules.sh $(GO) mod tidy -diff
	clang-format-16 --dry-run --Werror --style=file:bpf/.clang-format bpf/*/*.c bpf/*/*.h

check-generated: generate ## fail if a generated file is stale
	@git diff --exit-code --stat -- bpf docs dashboards deploy THIRD_PARTY_NOTICES.md || { echo "stale: run make generate and commit"; exit 1; }
	@test -z "$$(git status --porcelain -- bpf docs dashboards deploy)" || { git status --short -- bpf docs dashboards deploy; echo "generated files are not committed"; exit 1; }

deps: # install the Debian packages that the tests need
	scripts/deps.sh lab/packages.txt

deps-generate:
	scripts/deps.sh bpf/packages.txt

clean: ## remove build output
	rm -rf bin dist

# Earlier names of the checks, which CI, scripts and docs use.
tutorial: check-tutorial
reference-test: check-reference
compose-check: check-compose
kube-check: check-kube
dist-check: check-dist
systemd-check: check-systemd
chart-check: check-chart
e2e-kube: check-node
otlp-check: check-otlp
kernels: check-kernels
soak: check-soak
race: check-race
fuzz: check-fuzz
