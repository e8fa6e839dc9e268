// Package swimactor is the membership actor, known as "swim" on every node: a thin shell around the pure protocol in
// [github.com/hupe1980/rivven-cluster/swimactor/swim].
//
// The shell turns what comes to its mailbox into inputs of the core and carries out what the core decides:
//
//	remote ──▶ actors.Inbound ─┐                      ┌─▶ Datagram, Control, Default ──▶ peers' swim
//	Env.After ──▶ wake ────────┼─▶ shell ─▶ core ─▶ ──┼─▶ membership events ──▶ subscribers
//	app ──▶ Subscribe, Leave … ┘                      └─▶ actors.Resolve ──▶ remote
//
// The main path: [Props] with a [Config], spawned by the node's root supervisor; [WireTypes] registered with the remote
// for the reserved name. Others speak to it in the vocabulary of actors/membership.
//
// Guarantees:
//   - A subscriber gets a Snapshot first, then every event in order; one that would get more than
//     Config.EventsPerSecondMax gets a fresh Snapshot in place of the rest. A restart of the actor gives every
//     subscriber a fresh Snapshot and keeps subscriptions, tags and pending answers to Leave.
//   - Who sent a message is what the connection proved. A record that claims to be its sender's counts only with that
//     node id and directory id.
//   - The actor is deterministic: time, timers and randomness come from actors.Env, and it never blocks.
//
// Bounds: 64 known peers, 1024 subscribers, 64 pending answers to Leave, and those of swim.Config.
package swimactor
