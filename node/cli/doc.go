// Package cli is the command line of rivven-node: it runs nodes and asks running ones.
//
// The main path: [Main] takes the arguments and returns the exit code. "run" runs one node of a YAML file, "dev" a whole
// cluster in this process; the other commands are clients of the admin API or work on files.
//
//	0 success                     4 conflict: it exists, or the compare-and-set lost
//	1 failure                     5 unavailable: no node, leader or quorum answers
//	2 wrong usage or config       6 the outcome of a write is unknown: read before writing again
//	3 not found                   7 the token is missing or wrong
//
// With -o json a command writes one JSON object to the standard output, and a failure as one to the standard error. Tables are
// coloured only on a terminal, and not where NO_COLOR is set.
package cli
