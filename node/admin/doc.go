// Package admin is the HTTP API of a node: health, metrics, status, members, topics and the cluster's replicated
// configuration, as JSON. openapi.yaml describes it, and a test compares the two.
//
// The main path: [New] takes the actors to ask and makes a [Server]; [Server.Serve] serves everything on one listener,
// [Server.ServeHealth] only /livez, /readyz and /metrics on another. [Server.Handler] and [Server.HealthHandler] are for
// programs with an HTTP server of their own. The types of requests, answers and errors are those of node/client.
//
//	request ─▶ limit ─▶ origin, host, token ─▶ route ─▶ ask raft/meta, swim, ring ─▶ JSON
//
// Guarantees:
//   - Every failure is JSON with a stable code, also of unknown paths and methods.
//   - A write answers with success only when it is committed. One whose fate the node does not know answers 504 with
//     unknown_outcome. Within one request the node sends a configuration write again as often as it helps: it goes under a
//     session of the metadata group, which applies it once.
//   - Reads of the configuration are linearizable unless they ask for ?stale=true.
//   - Bodies, headers, times and the number of requests at once are bounded.
//   - /debug/pprof answers only over loopback.
package admin
