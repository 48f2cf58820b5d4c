# Two commands matter: `make sandbox` shows it work, `make test` proves it.
.PHONY: sandbox test unit e2e bench fuzz stop

sandbox: ## start a cloud on this machine and deploy to it
	go run ./sandbox up

test: unit e2e ## everything that CI runs

unit:
	go run ./sandbox setup
	go vet ./...
	go test $$(go list ./... | grep -v /test$$)

e2e: ## the whole program on a sandbox of its own
	go run ./sandbox setup
	go test -v -count=1 -timeout 60m ./test

fuzz: ## every fuzz target for half a minute
	./test/fuzz.sh 30s

stop:
	go run ./sandbox stop
