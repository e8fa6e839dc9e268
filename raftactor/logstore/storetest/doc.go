// Package storetest is the conformance suite of log stores: what every [logstore.Store] promises, crashes included where
// the store can be opened again.
//
// The main path: a store's own test calls [Run] with a function that makes a fresh [Target], once for each subtest.
// The suite writes through Submit, waits for the completion, and looks at what the Reader shows: at once, after an orderly
// reopen, and after a crash. A property test compares random histories with a naive model, three groups at a time.
package storetest
