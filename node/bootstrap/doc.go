// Package bootstrap brings a node into a cluster: the actor "bootstrap" forms one at the first start, adopts the configuration
// of one that was formed while this node was down, or joins one that does not know it.
//
// The main path of a blank node:
//
//	resolve every configured address ─▶ somebody is initialised? ─▶ named there: adopt it
//	        ▲                │                                    └▶ not named: Join as learner
//	        │                ▼
//	        └── exchange Reports until every configured peer is a candidate and all digests agree
//	                         │
//	                         ▼
//	            write identity and the group's initial state in one step ─▶ Ready to the node
//
// Guarantees. A configuration is written only when each of its members reported the very same one while blank, so two
// nodes never write different ones that name both of them. Its hash is the cluster's id. A crash between the first and the last
// write deadlocks nothing: an initialised peer ends everybody's waiting. A blank node never forms a second cluster beside an
// initialised peer that it can reach. A wiped disk has another directory id, so it is another replica: it joins as a
// learner, once the old one has ceased to answer. Who votes is the autopilot's business (raftactor/autopilot).
//
// The actor is deterministic: time, randomness and ids come from actors.Env. It stays after its work is done and answers others.
package bootstrap
