# Two commands matter: `make sandbox` shows it work, `make test` proves it.
# -v, because compiling from an empty cache takes minutes.
# The tests take the tools that were built, so that they ask nobody outside for a download.
test unit e2e rollouts review rights rights-record some-drift drift some-faults faults guards: export PLAN_CHARGE_OFFLINE ?= 1

.PHONY: sandbox check lint lint-workflows format test setup unit e2e rollouts review rights rights-record some-drift drift some-faults faults guards replay bench fuzz stop

sandbox: ## start a cloud on this machine and deploy to it
	go run -v ./sandbox up

check: lint lint-workflows ## fast and offline, before each commit: formatting, linters, and the tests that need no service
	go test . ./cmd/plan-charge ./config ./infra ./schema ./internal/forge ./internal/probe ./internal/redact ./internal/review ./internal/env ./internal/order ./sandbox/rights ./tools/rights ./test/guards ./test/workflows

LINT = GOSUMDB=off go tool -modfile=tools/lint/go.mod golangci-lint

lint: ## builds the linter from its module the first time, which takes minutes
	$(LINT) run --timeout 20m ./...

# It does not know `queue`, which GitHub has since 2026-05 (rhysd/actionlint#657).
lint-workflows:
	GOSUMDB=off go tool -modfile=tools/workflows/go.mod actionlint -ignore 'unexpected key "queue"'
	go run ./tools/zizmor

format: ## as the linter wants it
	$(LINT) fmt

test: setup unit ## everything that CI runs; what mostly waits goes side by side, two at a time, and not beside what computes
	$(MAKE) -j2 e2e rollouts
	$(MAKE) some-drift

setup:
	go run -v ./sandbox setup

# What has goroutines; tested under the race detector. What waits longest comes first, so that others compute meanwhile.
RACE = ./sandbox/ssm ./internal/... ./provider/... ./served/... ./sandbox/edge ./sandbox/engine ./sandbox/image ./test/replay/...

unit: setup
	go vet ./...
	go test -race -p 2 $(RACE)
	go test -p 2 $$(go list ./... | grep -vxF "$$(go list $(RACE))" | grep -Ev '/test/(e2e|rollouts|review|rights|drift)$$')
	go -C tools/standins vet ./...
	go -C tools/standins test ./...

e2e: setup ## the whole program, and a second application, on sandboxes of their own
	go test -v -count=1 -parallel 8 -timeout 60m ./test/e2e

rollouts: setup ## deployments that fail, seen from outside
	go test -v -count=1 -timeout 60m ./test/rollouts

# Not part of `make test`: it has not been seen to pass in one go yet.
review: setup ## from a pull request to its deployment, and drift, with a server that stands for GitHub; writes docs/drift-said.md
	PLAN_CHARGE_TABLE=$(CURDIR)/docs/drift-said.md go test -v -count=1 -timeout 60m ./test/review

# Not part of `make test`, for its length: its steps take eight minutes.
rights: setup ## a deployment's life under the policies in rights/, each caller with theirs
	go test -v -count=1 -timeout 60m ./test/rights

rights-record: setup ## the same, with everything allowed: writes rights/calls.txt and the policies
	PLAN_CHARGE_RECORD=1 go test -v -count=1 -timeout 60m ./test/rights
	go run ./tools/rights

some-drift: setup ## what somebody may change by hand, all at once
	go test -v -count=1 -timeout 60m ./test/drift

drift: setup ## everything that somebody may change by hand; writes docs/drift.md (PLAN_CHARGE_DRIFT=Rows a part of it)
	PLAN_CHARGE_DRIFT="$${PLAN_CHARGE_DRIFT:-.}" PLAN_CHARGE_TABLE=$(CURDIR)/docs/drift.md go test -v -count=1 -timeout 90m ./test/drift

some-faults: setup ## a few of the faults below, the same each time; with SEED=1 or another number others
	go run ./test/faults -points 5 -seed $(or $(SEED),2026)

faults: setup ## every failing rollout, and a fault at every point of a change; writes docs/rollouts.md and docs/faults.md
	PLAN_CHARGE_FAULTS=all PLAN_CHARGE_TABLE=$(CURDIR)/docs/rollouts.md go test -v -count=1 -timeout 60m -run TestRollouts ./test/rollouts
	go run ./test/faults -points 0 -boxes 2 -table docs/faults.md

guards: ## take out each guard in turn and see its test fail; writes docs/guards.md
	go run ./test/guards -table docs/guards.md

replay: ## build the incident on the sandbox, and watch one `pulumi up` heal it
	go run -v ./sandbox replay

fuzz: ## every fuzz target for half a minute
	./test/fuzz.sh 30s

bench: ## the sandbox's figures, each beside its bound, and those of the rows beside the same by hand
	go run ./bench
	go run ./bench/rows

stop:
	go run ./sandbox stop
