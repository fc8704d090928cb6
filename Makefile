# All that is done with this repository. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TOOL := go tool -modfile=tools.mod
# Fuzzers run one after the other, each for this long, and not to make what they find
# interesting smaller, which takes a minute each time if nothing bounds it.
FUZZTIME ?= 30s

.PHONY: help run build test check bench pictures fuzz soak generate deps

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: build ## show a shop that moves, on http://127.0.0.1:3000
	@exec bin/fsmesh demo

build: ## make the binary, bin/fsmesh, static
	CGO_ENABLED=0 go build -trimpath -o bin/fsmesh ./cmd/fsmesh

deps: ## install what the tests need beside Go
	@.ci/install-deps

# Three packages at a time, as those of the brokers wait more than they work; the one
# that takes longest begins first.
# The simulation of the healing protocol takes ten times as long with the race
# detector, where it makes fewer runs; it starts no goroutines that share anything.
# What is counted in hundred thousands over a real bus is so without it. So are the
# pages in a browser, where it is timed what people see: with it Graphviz alone takes
# ten seconds to start, and the tests of the pages themselves have it.
test: deps ## run all tests, with the race detector
	CGO_ENABLED=1 go test -race -p 3 -timeout 20m ./cmd/fsmesh ./...
	go test -count=1 -run '^(TestSimulation|TestSimulationExhaustive|TestEveryRuleIsNeeded)$$' ./mesh -sim.runs=100000
	go test -count=1 -run '^(TestTenDirectories|TestCommandsFrom64Clients)$$' ./mesh -mesh.scale=100
	cd bench && go test ./...
	cd examples/webshop && go test ./...
	cd ui/browsertest && go test -timeout 10m ./...

# Modules of their own: what they need is in no build of fsmesh.
MODULES := bench examples/webshop ui/browsertest

check: ## vet, staticcheck, format, generated files, go.mod, known vulnerabilities
	@for dir in . $(MODULES); do \
		echo "$$dir: vet, staticcheck, format, go.mod"; \
		(cd $$dir && go vet ./... && go tool -modfile=$(CURDIR)/tools.mod staticcheck ./... && go mod tidy -diff && \
		unformatted=$$(gofmt -l $$(go list -f '{{.Dir}}' ./...)) && \
		if [[ -n $$unformatted ]]; then echo "not formatted (run gofmt -w):"; echo "$$unformatted"; exit 1; fi); \
	done
	@before=$$(cat ui/*_templ.go | sha256sum); $(MAKE) --no-print-directory generate >/dev/null; \
	if [[ $$before != $$(cat ui/*_templ.go | sha256sum) ]]; then \
		echo "generated files were not fresh; they are now, commit them"; exit 1; fi
	go mod verify
	CGO_ENABLED=0 go build -o /dev/null ./cmd/fsmesh
	@.ci/vulnerabilities

generate: ## make the generated files anew
	$(TOOL) templ generate -path ui

bench: ## compare with the raw limit and with peers
	cd bench && go run .
	go test -run '^$$' -bench '^BenchmarkBridge$$' -benchtime 1x ./adapters/...

pictures: ## make the pictures of the documentation anew, with Chromium
	cd ui/browsertest && go run ./pictures -to ../../docs/pictures

fuzz: ## run every fuzzer for FUZZTIME
	@go list ./... | while read -r pkg; do \
		go test -list '^Fuzz' "$$pkg" | { grep '^Fuzz' || true; } | while read -r name; do \
			echo "$$pkg $$name"; go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x "$$pkg"; \
		done; \
	done

soak: deps ## run the long forms of the tests
	CGO_ENABLED=1 go test -race -count=1 -timeout 3h -run '^TestProperty' -v ./fsm -rapid.checks=20000
	CGO_ENABLED=1 go test -race -count=30 -timeout 3h -run '^(TestConformance|TestStop|TestRegression|TestHook|TestEveryThird)' ./fsm
	go test -count=1 -timeout 3h -run '^TestSimulation$$' -v ./mesh -sim.runs=10000000
	go test -count=1 -timeout 3h -skip '^TestSimulation$$' -v ./mesh -mesh.scale=100
	CGO_ENABLED=1 go test -race -count=10 -timeout 3h -skip '^TestSimulation$$' ./mesh
	CGO_ENABLED=1 go test -race -count=5 -timeout 3h ./cmd/... ./ui/... ./internal/...
	CGO_ENABLED=1 go test -race -count=1 -timeout 3h -run '^TestCrash$$' -v ./cmd/fsmesh -crash.rounds 500
	go test -count=1 -timeout 3h -run '^TestDashboardIsPaused$$' -v ./cmd/fsmesh -paused 30s
	CGO_ENABLED=1 go test -race -count=1 -timeout 1h -run '^TestTakeover$$' -v ./cmd/fsmesh -takeover.rounds 12 -takeover.every 5s
	CGO_ENABLED=1 go test -race -count=1 -timeout 1h -run '^TestShutdownUnderLoad$$' -v ./cmd/fsmesh -shutdown.rounds 100
	go test -count=1 -timeout 3h -run '^TestStream$$' -v ./adapters/rabbitmq -messages=100000
	go test -count=1 -timeout 3h -run '^TestSuite$$/^(Outage|BadInput)$$' -v ./adapters/redis -outages=5 -outage=10s -rows=100000
	CGO_ENABLED=1 go test -race -count=5 -timeout 3h ./adapters/...
