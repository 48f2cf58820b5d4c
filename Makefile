# Two commands matter: `make sandbox` shows it work, `make test` proves it.
# -v, because compiling from an empty cache takes minutes.
.PHONY: sandbox test unit e2e faults bench fuzz stop

sandbox: ## start a cloud on this machine and deploy to it
	go run -v ./sandbox up

test: unit e2e ## everything that CI runs

unit:
	go run -v ./sandbox setup
	go vet ./...
	go test $$(go list ./... | grep -v /test$$)

e2e: ## the whole program on a sandbox of its own
	go run -v ./sandbox setup
	go test -v -count=1 -timeout 60m ./test

faults: ## every failing rollout, and a fault at every point of a change; writes docs/faults.md
	go run -v ./sandbox setup
	PLAN_CHARGE_FAULTS=all go test -v -count=1 -timeout 60m -run TestRollouts ./test
	go run ./test/faults -points 0 -table docs/faults.md

fuzz: ## every fuzz target for half a minute
	./test/fuzz.sh 30s

bench: ## the sandbox's figures, each beside its bound
	go run ./bench

stop:
	go run ./sandbox stop
