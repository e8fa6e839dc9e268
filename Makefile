.PHONY: build test lint fuzz bench sim e2e proto
FUZZTIME ?= 10s
KILLS ?= 10

build: ; CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/ ./node/rivven-node
test: ; go test ./...
lint:
	tool=$$(go tool -C .ci/tools -n detlint) && go vet -vettool="$$tool" ./...
	go tool -modfile=.ci/tools/go.mod golangci-lint run ./...
fuzz: ; bash .ci/fuzz $(FUZZTIME)
bench: ; go test -run '^$$' -bench . -benchmem ./...
sim: ; go test -count=1 -v -timeout 60m ./testkit -run '^TestCluster$$' -testkit.seeds=300 -testkit.twice
e2e: ; go test -count=1 -v ./node/e2e -timeout 60m -e2e.kills=$(KILLS)
proto: ; bash .ci/proto
