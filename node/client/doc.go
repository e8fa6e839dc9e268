// Package client is the HTTP client of a node's admin API, and the one definition of what that API says: the server in
// node/admin marshals these types.
//
// The main path: [New] takes the addresses of any nodes of a cluster, the methods of [Client] ask the first that answers.
//
// Guarantees:
//   - Every failure is an [*Error] with a stable [Code]: errors.Is(err, client.CodeNotFound).
//   - A read goes on to the next address when one can't answer. A write does so only where it certainly had no effect: nothing
//     was sent, or the node says so. A write whose fate nobody knows is CodeUnknownOutcome and is never sent again.
//   - Answers are bounded, redirects are not followed, and a token never travels in the clear beyond this machine.
package client
