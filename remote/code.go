package remote

import (
	"errors"
	"fmt"
)

// Code says why a connection was closed. Codes are stable: they travel between versions.
type Code uint32

// The close codes.
const (
	CodeDone          Code = 0  // nothing more to say
	CodeShutdown      Code = 1  // the node is stopping
	CodeRenew         Code = 2  // the dialer comes back with a new Hello
	CodeSuperseded    Code = 3  // a newer connection of the same peer took its place
	CodeAlias         Code = 4  // the peer is reached under another address
	CodeIdle          Code = 5  // nobody used it for a while; the dialer comes back when somebody does
	CodeProtocol      Code = 16 // bytes that are no frame
	CodeFrameTooLarge Code = 17
	CodeTable         Code = 18 // a slot that was never defined
	CodeTimeout       Code = 19 // no Hello, or a frame that never ended
	CodeLimit         Code = 20 // too many connections
	CodeVersion       Code = 32 // no wire version in common
	CodeCluster       Code = 33 // the peer belongs to another cluster
	CodeIdentity      Code = 34 // Hello and certificate name different nodes
	CodeStale         Code = 35 // an older generation than the one that is connected
	CodeDuplicate     Code = 36 // another directory under this node's own id
	CodeCertificate   Code = 37 // the certificate was not accepted
	CodeAddress       Code = 38 // another node lives where the peer says that it does
	CodeBlocked       Code = 39 // the peer's node id is on the block list
)

const (
	codeLast    = CodeBlocked
	codeUnnamed = CodeProtocol - 1 // stands in metrics for a code that has no name here
)

var codeNames = map[Code]string{
	CodeDone: "done", CodeShutdown: "shutdown", CodeRenew: "renew", CodeSuperseded: "superseded", CodeAlias: "alias", CodeIdle: "idle",
	CodeProtocol: "protocol", CodeFrameTooLarge: "frame_too_large", CodeTable: "table", CodeTimeout: "timeout",
	CodeLimit: "limit", CodeVersion: "version", CodeCluster: "cluster", CodeIdentity: "identity", CodeStale: "stale",
	CodeDuplicate: "duplicate", CodeCertificate: "certificate", CodeAddress: "address", CodeBlocked: "blocked",
}

func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("code(%d)", uint32(c))
}

// refusal reports whether the code means that two nodes will not talk before somebody mends something.
func (c Code) refusal() bool { return c >= CodeVersion }

// CloseError is why a connection ended, as either side said it.
type CloseError struct {
	Code   Code
	Reason string
	Remote bool // the peer closed it
}

func (e *CloseError) Error() string {
	who := "closed here"
	if e.Remote {
		who = "closed by the peer"
	}
	return fmt.Sprintf("%s (%s): %s", who, e.Code, e.Reason)
}

func closeErrorOf(err error) *CloseError {
	var closed *CloseError
	if errors.As(err, &closed) {
		return closed
	}
	return &CloseError{Code: CodeProtocol, Reason: err.Error()}
}
