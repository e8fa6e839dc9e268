// Package node is the composition root: it wires Raft, SWIM, the partition manager, the log store and the QUIC remote into one
// supervised tree, and is what both an app that embeds a node and the program rivven-node run.
//
// The main path: [LoadConfig] or a [Config] literal ─▶ [Start], or [Props] under an app's own supervisor ─▶ the root actor
// "node" opens the storage, starts the remote, and lets bootstrap form or join a cluster ─▶ then membership, the metadata
// group and the partition manager run, and [Node.WaitReady] returns.
//
//	node            one-for-one, exponential back-off; what can't be mended stops the node: Done closes, Err says why
//	├── store, snapshots, ticks     the log
//	├── bootstrap                   first start and join
//	├── swim                        who is there
//	├── raft/meta                   what was agreed
//	└── ring                        who owns what
//	remote, admin                   the doors
//
// Guarantees. A library never exits its host: only the program turns Err into an exit code. [Node.Shutdown] drains: the node is
// unready first, hands its leaderships over, says goodbye to the members, and closes. Storage, transport and environment are
// seams ([WithStorage], [WithTransport], and the environment that the system has), so that the test kit runs this very wiring.
package node
