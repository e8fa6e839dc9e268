// Package remote carries messages between actor systems over QUIC with mutual TLS. With it Send, Request,
// RequestFuture, Watch, Stop and Poison work on actor.NewPID("host:port", "name") as they do on local actors; code
// written for protoactor's own gRPC remote changes import and constructor.
//
// The main path: [NewRemote] with a [Config] from [Configure], then [Remote.Start]; from then on PIDs of other
// addresses resolve to processes that put messages into bounded queues, one for each peer and delivery class. The
// actor "remote" has one child for each peer; it dials, exchanges Hellos and lets the connection drain the queues.
//
//	Send ─▶ process ─▶ outbox (peer × class) ─▶ Transport ═══ QUIC ═══▶ Transport ─▶ inbox ─▶ target's mailbox
//	                     ▲                          ▲
//	                     └── session remote/<peer> ─┴── Hello, lanes, generations, watches, back-off
//
// Guarantees:
//
//   - Default, Control, Append and Bulk deliver at most once and in order for each pair of actors within a class;
//     Datagram may lose and reorder. Watch, Terminated, Stop and Poison travel in Default and overtake nothing there.
//   - A peer counts as connected once it acknowledged this node's Hello. When a session is lost, requests that wait
//     for an answer fail at once; when it doesn't come back at the first attempt, or another generation of the peer
//     does, watchers get Terminated{AddressTerminated}. A watch that outlives a reconnect is repeated.
//   - A Hello that names the address of another member is refused while the membership knows that one there, alive or suspect; so is a node
//     on the [BlockList]. What goes to an address goes to whom the membership knows, or to nobody.
//   - Nothing blocks an actor: a message that finds its queue full, its peer unreachable or no way to encode it goes to
//     dead letters, and a request that it belonged to fails at once.
//   - Who sends is what the peer's certificate says, spiffe://<cluster>/node/<id>. Reserved names take only the
//     message types that [WithReserved] lists, wrapped in actors.Inbound; guardians take nothing.
//   - [GetStatus] to the actor "remote", or [Remote.Status], tells how each peer is and what became of its messages.
//   - Everything that comes in is bounded and checked; a violation closes the connection with a [Code].
//   - What this node holds for a peer is bounded in bytes: queues by [Limits], a lane's unread part by QUIC's windows (512 KiB to
//     6 MiB), one frame and one message in chunks being put together. What it has delivered is the target's: a lane never waits
//     for a mailbox, because one slow actor would hold up all others behind the same lane, and protoactor's mailboxes have no
//     end. So an actor that is slower than those who send to it must bound them by its protocol (answers that senders wait for,
//     credits) or drop in its own mailbox. The datagrams that a peer gets into mailboxes are rated, 10000 a second.
//
// The session core reads no clock, starts no goroutine and uses no channel; it runs over a [Transport], of which QUIC
// is one and a simulation another.
package remote
