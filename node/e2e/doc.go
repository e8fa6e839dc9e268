// Package e2e runs real rivven-node processes on loopback with mutual TLS and hurts them: kill -9, stop, wipe, wrong
// certificates. It has no code but its tests; `go test ./node/e2e` builds the program once and runs them, -short skips them.
//
// Clients record every operation, porcupine judges the history, and no acknowledged write may be missing.
package e2e
