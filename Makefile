# SPDX-License-Identifier: Apache-2.0
#
# make diagnose   build and diagnose this host
# make test       install what the tests need, and pass them

GO      ?= go
SUDO    := $(if $(filter 0,$(shell id -u)),,sudo)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
CLANG   ?= clang-16
DURATION ?= 30s

.DEFAULT_GOAL := build
.PHONY: help build diagnose test unit live kernels bench bench-large race fuzz soak generate check-generated lint deps deps-generate clean \
	reference reference-up reference-down reference-load reference-smoke reference-test tutorial faults fault compose-check kube-check otlp-check \
	image dist dist-check systemd-check manifest chart-check e2e-kube screenshots

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

build: ## bin/headroom, static; needs Go alone
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X github.com/headroom-project/headroom/cmd/headroom/internal/host.version=$(VERSION)' -o bin/headroom ./cmd/headroom

diagnose: build ## build, then diagnose this host (DURATION=30s)
	$(SUDO) bin/headroom diagnose --duration $(DURATION)

test: deps unit live tutorial ## install what the tests need, and pass them all

# Tests that load eBPF, make cgroups or drop privileges need root; so that none
# is skipped unseen, all of them run as root.
AS_ROOT := $(SUDO) env "PATH=$$PATH" "HOME=$$HOME"

unit: ## vet, format and the tests of every package but the live ones
	@test -z "$$(gofmt -l agent analyzers bpf cmd dashboards deploy lab examples scripts)" || { echo "not gofmt-ed:"; gofmt -l agent analyzers bpf cmd dashboards deploy lab examples scripts; exit 1; }
	$(GO) vet ./...
	$(AS_ROOT) $(GO) test $(TESTFLAGS) $$($(GO) list ./... | grep -v -e /lab/live -e /lab/kubeapi -e /lab/kubenode -e /lab/guest -e /lab/chart -e /examples/reference$$ -e /examples/reference/compose$$)

live: build ## the scenarios of lab/: real servers with real faults (root)
	$(AS_ROOT) $(GO) test $(TESTFLAGS) -count=1 -timeout 25m ./lab/live

# The reference shop (examples/reference): a backend to run headroom beside.
SHOP := examples/reference
RATE ?= 40
SEED ?= 1

reference: ## bin/shop, and what its services need from npm
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/shop ./$(SHOP)/host
	@cmp -s $(SHOP)/package-lock.json $(SHOP)/node_modules/.lock || { \
		cd $(SHOP) && npm ci --no-audit --no-fund --ignore-scripts && cp package-lock.json node_modules/.lock; }

reference-up: ## start the reference shop on this host, on loopback
	scripts/deps.sh $(SHOP)/packages.txt
	@$(MAKE) --no-print-directory reference
	@$(SUDO) bin/shop up -source $(SHOP)

reference-down: ## stop it; it leaves nothing behind
	@test -x bin/shop || CGO_ENABLED=0 $(GO) build -trimpath -o bin/shop ./$(SHOP)/host
	@$(SUDO) bin/shop down

reference-load: ## visitors, and what they see (RATE=40 a second, DURATION=30s, SEED=1)
	@bin/shop load -rate $(RATE) -duration $(DURATION) -seed $(SEED)

faults: ## what can go wrong in the shop, and how to see it
	@test -x bin/shop || CGO_ENABLED=0 $(GO) build -trimpath -o bin/shop ./$(SHOP)/host
	@bin/shop faults

fault: ## switch one on or off: make fault NAME=sync-crypto LEVEL=200ms (LEVEL=off)
	@$(SUDO) bin/shop fault $(NAME) $(LEVEL)

tutorial: build ## docs/tutorial.md, typed by a test that compares the answers (root)
	scripts/deps.sh $(SHOP)/packages.txt
	@$(MAKE) --no-print-directory reference
	$(AS_ROOT) $(GO) test $(TESTFLAGS) -count=1 -timeout 10m -run 'TestTutorial$$' ./$(SHOP)

reference-smoke: ## less than a minute of it: up, loaded, one fault, cured, down, nothing left
	scripts/deps.sh $(SHOP)/packages.txt
	@$(MAKE) --no-print-directory reference
	$(AS_ROOT) REFERENCE_FAULTS=sync-crypto $(GO) test $(TESTFLAGS) -count=1 -timeout 3m -run '^TestShop$$' ./$(SHOP)

reference-test: ## the shop as a whole: up, loaded, broken, cured, down
	scripts/deps.sh $(SHOP)/packages.txt
	@$(MAKE) --no-print-directory reference
	$(AS_ROOT) $(GO) test $(TESTFLAGS) -count=1 -timeout 20m ./$(SHOP)

compose-check: ## docker compose up of the shop, as far as a host without a registry shows (root)
	$(AS_ROOT) scripts/compose-check.sh

kube-check: build ## the manifests and the agent against a real API server; builds it the first time (15 min)
	$(AS_ROOT) scripts/kube-check.sh
	$(AS_ROOT) $(GO) test $(TESTFLAGS) -count=1 -timeout 10m ./lab/kubeapi

image: ## dist/headroom-VERSION-image.tar, a container image from scratch, without a container engine (IMAGE=headroom:dev)
	VERSION=$(VERSION) scripts/dist.sh image

dist: ## dist/: programs, image, chart, tarballs, Debian packages, SBOMs
	VERSION=$(VERSION) scripts/dist.sh

dist-check: dist ## containerd, dpkg and systemd take what dist made (root)
	$(AS_ROOT) scripts/dist-check.sh

systemd-check: dist ## a real systemd, in QEMU, installs the Debian package and runs it (root, 6 min)
	scripts/deps.sh bpf/kernels/packages.txt lab/systemd/packages.txt
	scripts/qemu.sh
	$(AS_ROOT) lab/systemd/run.sh

manifest: ## deploy/daemonset.yaml, from the chart
	scripts/manifest.sh

chart-check: ## the Helm chart: what it makes of which values, and what it refuses
	$(GO) test $(TESTFLAGS) -count=1 ./lab/chart

e2e-kube: ## the chart on a real node: kubelet, API server, containerd (root); builds them the first time (20 min)
	scripts/deps.sh lab/kubenode/packages.txt
	@$(MAKE) --no-print-directory image IMAGE=docker.io/library/headroom:e2e
	$(AS_ROOT) HEADROOM_IMAGE=$(CURDIR)/dist/headroom-$(VERSION)-image.tar $(GO) test $(TESTFLAGS) -v -count=1 -timeout 20m ./lab/kubenode

screenshots: ## every dashboard with data, drawn by Grafana's own libraries: docs/screenshots (root, 10 min)
	$(AS_ROOT) scripts/screenshots.sh

otlp-check: build ## the agent against a real OpenTelemetry Collector; builds it the first time (root)
	scripts/deps.sh deploy/packages.txt
	$(AS_ROOT) scripts/otlp-check.sh

KERNELS ?= 5.10 6.1 6.12 7.2

kernels: build ## the probes and the whole program on other kernels in QEMU (KERNELS=5.10 6.1 6.12 7.2)
	scripts/deps.sh lab/packages.txt bpf/kernels/packages.txt
	scripts/qemu.sh
	bpf/kernels/run.sh $(KERNELS)

bench: build ## what headroom costs; docs/benchmarks.md says how to read it
	$(AS_ROOT) $(GO) test -run '^$$' -bench . ./agent/... ./analyzers/... ./bpf/... ./cmd/...
	$(AS_ROOT) $(GO) run ./lab/bench

bench-large: build ## the agent beside 5,000 processes in 500 cgroups: CPU, memory, series (root, 3 min)
	$(AS_ROOT) $(GO) run ./lab/bench -headroom bin/headroom -loads agent -processes 5000 -pods 500 -settle 60s

soak: build ## an hour of the agent beside a load that changes, and whether it stays as it was (DURATION=1h; root)
	$(AS_ROOT) $(GO) run ./lab/soak -duration $(if $(filter 30s,$(DURATION)),1h,$(DURATION))

# What more than one goroutine works on.
RACE := ./agent/archive ./agent/export/... ./agent/history ./agent/identity ./agent/kube/... ./agent/ledger ./agent/observe \
	./agent/patience ./agent/run ./agent/sampler ./agent/sampler/fd ./agent/sampler/heap ./agent/sampler/ports ./agent/serve \
	./agent/store ./analyzers/publish/... ./analyzers/state ./bpf/files ./cmd/headroom/...

race: ## the packages with goroutines under the race detector (root; a C compiler)
	$(AS_ROOT) CGO_ENABLED=1 $(GO) test -race -count=1 $(RACE)

fuzz: ## a minute for each parser
	scripts/fuzz.sh

generate: deps-generate ## eBPF objects, docs and notices, from their sources
	CLANG=$(CLANG) $(GO) generate ./bpf/...
	$(GO) run ./cmd/headroom docs .
	$(GO) generate ./dashboards
	scripts/notices.sh

lint: ## staticcheck, and clang-format for bpf/
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	clang-format-16 --dry-run --Werror --style=file:bpf/.clang-format bpf/*/*.c bpf/*/*.h

check-generated: generate ## fail if a generated file is stale
	@git diff --exit-code --stat -- bpf docs dashboards deploy THIRD_PARTY_NOTICES.md || { echo "stale: run make generate and commit"; exit 1; }
	@test -z "$$(git status --porcelain -- bpf docs dashboards deploy)" || { git status --short -- bpf docs dashboards deploy; echo "generated files are not committed"; exit 1; }

deps: ## what the tests need, as Debian packages
	scripts/deps.sh lab/packages.txt

deps-generate:
	scripts/deps.sh bpf/packages.txt

clean: ## remove what was built
	rm -rf bin dist
