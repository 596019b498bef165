# `make` lists what there is; `make test` is the one that counts.
SHELL = /bin/sh
.DEFAULT_GOAL = help

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

# How long each fuzz target runs.
export FUZZTIME ?= 10m

.PHONY: help test build fmt vet staticcheck fuzz chaos soak bench clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

test: ## Pass all tests; installs what they need where it may (scripts/test-deps)
	@scripts/test-deps
	@if command -v gcc >/dev/null; then race=-race; else race=; echo 'make test: no gcc, so without -race' >&2; fi; \
	set -x; PATH="$$PATH:$$PWD/bin/tools" go test $$race ./...

build: ## Build bin/sited, one static binary
	CGO_ENABLED=0 go build -trimpath -o bin/sited ./cmd/sited

fmt: ## Format the Go files and sites.hcl
	gofmt -w .
	go run ./cmd/sited fmt sites.hcl

vet: ## Run go vet
	go vet ./...

staticcheck: ## Run staticcheck
	go run $(STATICCHECK) ./...

fuzz: ## Run every fuzz target, FUZZTIME=10m each
	scripts/fuzz

chaos: ## A thousand random edits under load, then a thousand kills in the middle of uploads and reloads
	go test ./chaos -run Edits -v -edits 1000 -sites 20 -timeout 20m
	go test ./chaos -run KillDuringUploads -v -kills 1000 -timeout 60m

soak: ## Check every answer for ten minutes while files change underneath
	go run ./bench/soak -for 10m

bench: ## Run the benchmarks that go test knows
	go test -run '^$$' -bench . -benchmem ./...

clean: ## Remove what make and the demo have made
	rm -rf bin logs
