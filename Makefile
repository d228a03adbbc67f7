# Everything that is done with this tree, by a person or by CI. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X vesperdb.io/vesper/internal/version.Version=$(VERSION)

# Tools, each a Go module at one version, built once into bin/.
CONTROLLER_GEN_VERSION := v0.23.0
GOLANGCI_LINT_VERSION := v2.15.0
KUSTOMIZE_VERSION := v5.7.1
TOOLS := $(CURDIR)/bin
CONTROLLER_GEN := $(TOOLS)/$(CONTROLLER_GEN_VERSION)/controller-gen
GOLANGCI_LINT := $(TOOLS)/$(GOLANGCI_LINT_VERSION)/golangci-lint
KUSTOMIZE := $(TOOLS)/$(KUSTOMIZE_VERSION)/kustomize
APILINT := $(TOOLS)/apilint
BUNDLELINT := $(TOOLS)/bundlelint

##@ First

.PHONY: demo
demo: prerequisites ## A Kubernetes, the operator, a broker, a cluster; a write on one node read on another
	@$(GO) run ./hack/demo up

.PHONY: demo-down
demo-down: ## Remove what `make demo` made
	@$(GO) run ./hack/demo down

.PHONY: test
test: prerequisites ## All the set-up, then everything CI checks
	@hack/test

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Build

.PHONY: build
build: ## Both programs, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/vesper-node ./cmd/node
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/vesper-manager ./cmd/manager

.PHONY: images
images: prerequisites ## Container images, as archives
	$(GO) run ./hack/images

.PHONY: localkube
localkube: prerequisites ## A real Kubernetes on this Linux machine (prints how to use it)
	$(GO) run ./hack/localkube build
	$(GO) run ./hack/localkube up

.PHONY: localkube-down
localkube-down: ## Stop it and remove its state
	$(GO) run ./hack/localkube down

.PHONY: dev
dev: ## Three nodes and a broker in one process, no Kubernetes
	$(GO) run ./cmd/node dev --nodes 3

##@ Check

.PHONY: generate
generate: $(CONTROLLER_GEN) $(KUSTOMIZE) ## Deep copies, CRDs, RBAC, the chart's copies of them, install.yaml
	CONTROLLER_GEN=$(CONTROLLER_GEN) KUSTOMIZE=$(KUSTOMIZE) hack/generate

.PHONY: lint
lint: $(GOLANGCI_LINT) $(APILINT) $(BUNDLELINT) ## gofmt, go vet, golangci-lint, kube-api-linter on api/, and the rules of catalogs on bundle/
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "run gofmt -w on: $$unformatted" >&2; exit 1; }
	$(GO) vet ./...
	$(APILINT) -test=false ./api/v1alpha1
	$(BUNDLELINT) bundle
	$(GOLANGCI_LINT) run --allow-parallel-runners ./...

.PHONY: conformance
conformance: ## What was recorded from the original Vesper, replayed: a table by group, against the goals
	@$(GO) run ./hack/conformance

.PHONY: conformance-write
conformance-write: ## The same, with its figures put into docs/conformance.md
	@$(GO) run ./hack/conformance --write

.PHONY: bench
bench: prerequisites ## M1 to M11, the same work on PostgreSQL and PouchDB, and queries on 100 000 and 1 000 000 objects beside SQLite and PostgreSQL (25 minutes, on a machine that does nothing else); BENCH_SCALE=0.1 and BENCH_ONLY=M1,Q shorten it
	@$(GO) test -count=1 -timeout 60m -run '^$$' -bench '^BenchmarkMeasures$$' -benchtime 1x ./test/bench

.PHONY: scale
scale: prerequisites ## The operator over NODES=1000 nodes (100) on a real kube-apiserver: requests, memory, times; SCALE="-quiet 60s" shortens it
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/vesper-manager ./cmd/manager
	$(GO) run ./hack/localkube build --only envtest
	@KUBEBUILDER_ASSETS="$$($(GO) run ./hack/localkube assets)" $(GO) run ./test/scale -nodes $(or $(NODES),100) $(SCALE)

.PHONY: microbench
microbench: ## Go benchmarks of the store, the codecs and the planner
	$(GO) test -run '^$$' -bench . -benchmem ./internal/...

.PHONY: unit
unit: ## Tests that need no Kubernetes and skip without a broker
	$(GO) test -race ./api/... ./cmd/... ./internal/... ./hack/...

.PHONY: integration
integration: prerequisites ## Controllers against a real kube-apiserver and etcd
	$(GO) run ./hack/localkube build --only envtest
	KUBEBUILDER_ASSETS="$$($(GO) run ./hack/localkube assets)" $(GO) test -race ./controllers/...

.PHONY: e2e
e2e: prerequisites ## The whole on a real Kubernetes with a real ActiveMQ (12 minutes or less)
	$(GO) test -count=1 -timeout 40m -v ./test/e2e/...

.PHONY: fuzz
fuzz: ## Every fuzz test, FUZZTIME (30s) each
	@hack/fuzz

.PHONY: simulate
simulate: ## Clusters under a virtual clock and every fault: SEEDS=10000, SEED=n (that one alone), MUTANT=name
	@$(GO) run ./hack/simulate -seeds $(or $(SEEDS),10000) $(if $(SEED),-seed $(SEED)) $(if $(MUTANT),-mutant $(MUTANT))

.PHONY: simulate-mutants
simulate-mutants: ## Break the code on purpose in each known way; the simulator must notice within 2000 seeds
	@$(GO) run ./hack/simulate -mutants -seeds $(or $(SEEDS),2000)

.PHONY: soak
soak: prerequisites ## 16 clients of a node for a minute; three nodes and a real ActiveMQ under kill -9, three minutes of writes
	VESPER_CLIENT_SECONDS=60 $(GO) test -race -count=1 -v -run '^TestSixteenClientsAreLinearizable$$' ./internal/server
	SOAK_SECONDS=180 SOAK_RACE=1 $(GO) test -count=1 -v -timeout 20m ./test/soak

.PHONY: lives
lives: ## The operator through every lifecycle on a stage: broken off at its writes, with late informers, and random walks (20 minutes); LIVES=-crashes takes each write in each way
	$(GO) test -count=1 -v -timeout 4h -tags lives -run 'BreaksOffAtAnyWrite|InformersThatAreLate|NoWalkThroughLife' ./controllers $(LIVES)

.PHONY: scale-test
scale-test: prerequisites ## make scale with ten nodes, as a test of its promises (5 minutes)
	$(GO) run ./hack/localkube build --only envtest
	KUBEBUILDER_ASSETS="$$($(GO) run ./hack/localkube assets)" $(GO) test -count=1 -v -timeout 30m -tags scale ./test/scale

##@ Tools

.PHONY: prerequisites
prerequisites: ## Install missing Debian packages, or say which
	@hack/prerequisites

$(CONTROLLER_GEN):
	GOBIN=$(@D) $(GO) install sigs.k8s.io/controller-tools/cmd/controller-gen@$(CONTROLLER_GEN_VERSION)

$(GOLANGCI_LINT):
	GOBIN=$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

$(KUSTOMIZE):
	GOBIN=$(@D) $(GO) install sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE_VERSION)

$(APILINT): $(wildcard hack/apilint/*)
	cd hack/apilint && $(GO) build -o $@ .

$(BUNDLELINT): $(wildcard hack/bundlelint/*)
	cd hack/bundlelint && $(GO) build -o $@ .
