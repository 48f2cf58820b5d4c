# Two commands matter: `make sandbox` shows it work, `make test` proves it.
# -v, because compiling from an empty cache takes minutes.
# The tests take the tools that were built, so that they ask nobody outside for a download.
test unit e2e some-faults faults guards: export PLAN_CHARGE_OFFLINE ?= 1

.PHONY: sandbox test setup unit e2e some-faults faults guards replay bench fuzz stop

sandbox: ## start a cloud on this machine and deploy to it
	go run -v ./sandbox up

test: setup ## everything that CI runs; side by side, because most of it waits
	$(MAKE) -j3 unit e2e some-faults

setup:
	go run -v ./sandbox setup

unit: setup
	go vet ./...
	go test -p 4 $$(go list ./... | grep -v /test$$)
	go -C tools/standins vet ./...
	go -C tools/standins test ./...

e2e: setup ## the whole program on sandboxes of its own
	go test -v -count=1 -parallel 8 -timeout 60m ./test

some-faults: setup ## a few of the faults below, others each time
	go run ./test/faults -points 5

faults: setup ## every failing rollout, and a fault at every point of a change; writes docs/rollouts.md and docs/faults.md
	PLAN_CHARGE_FAULTS=all PLAN_CHARGE_TABLE=$(CURDIR)/docs/rollouts.md go test -v -count=1 -timeout 60m -run TestRollouts ./test
	go run ./test/faults -points 0 -boxes 2 -table docs/faults.md

guards: ## take out each guard in turn and see its test fail; writes docs/guards.md
	go run ./test/guards -table docs/guards.md

replay: ## build the incident on the sandbox, and watch one `pulumi up` heal it
	go run -v ./sandbox replay

fuzz: ## every fuzz target for half a minute
	./test/fuzz.sh 30s

bench: ## the sandbox's figures, each beside its bound
	go run ./bench

stop:
	go run ./sandbox stop
