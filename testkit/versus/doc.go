// Versus measures this project side by side with its peers: same machine, same run, systems in turn.
//
//	go run . remote             # a table, with ratios and the limits that were set
//	go run . remote -o json     # one object a line
//	go run . remote --quick     # within five minutes
//
// It is a module of its own, so that the peers never enter the product's go.mod. A suite is a package of its own with
// a file in this folder that adds it; see README.md.
package main
