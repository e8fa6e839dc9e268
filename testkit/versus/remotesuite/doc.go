// Package remotesuite compares the remote with protoactor-go's own over gRPC, and with what QUIC and TLS over TCP can
// do without actors.
//
// Each measurement takes two fresh processes, a server and a client, on loopback. The client's windows are the same
// for all systems: it has at most two windows of messages on their way, the server acknowledges each window, and the
// rate is taken between acknowledgements. Messages are wrapperspb.BytesValue with a value of the size in the case's
// name, sent to one actor; what is raw sends the same bytes behind a length of four.
package remotesuite
