package admin

import (
	"context"
	"net/http"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/remote"
)

// getPeers tells how the node's connections are, also where the membership sees something else.
func (s *Server) getPeers(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), s.group.attempt)
	defer cancel()
	res, err := live.Ask(ctx, s.cfg.System, s.cfg.PIDs.Remote, &remote.GetStatus{})
	status, ok := res.(*remote.Status)
	if err != nil || !ok {
		return &client.Error{Code: client.CodeUnavailable, Message: "the remote does not answer: the node is starting or stopping, see /readyz?verbose", Cause: err}
	}
	out := client.Peers{Self: s.cfg.Self.ID, Connections: status.Accepted, HalfOpen: status.HalfOpen, Peers: []client.Peer{}}
	for i := range status.Peers {
		out.Peers = append(out.Peers, peerOf(&status.Peers[i]))
	}
	return s.answer(w, http.StatusOK, out)
}

func peerOf(p *remote.PeerStatus) client.Peer {
	out := client.Peer{
		Address: p.Address, State: client.PeerState(p.State.String()), Failures: p.Failures, LastError: p.LastError, Reconnects: p.Reconnects,
		RTTMicros: p.RTT.Microseconds(), PacketsSent: p.PacketsSent, PacketsLost: p.PacketsLost,
		WatchesOut: p.WatchesOut, WatchesIn: p.WatchesIn, Classes: make(map[string]client.PeerClass, actors.Classes),
	}
	if p.Info != nil {
		out.ID, out.Name, out.Generation = p.Info.NodeID, p.Info.Name, p.Info.Generation
	}
	for class, c := range p.Classes {
		dropped := c.Dropped
		if dropped == nil {
			dropped = map[string]uint64{}
		}
		out.Classes[actors.Class(class).String()] = client.PeerClass{ //nolint:gosec // five of them
			SentMessages: c.SentMessages, SentBytes: c.SentBytes, ReceivedMessages: c.ReceivedMessages, ReceivedBytes: c.ReceivedBytes,
			QueuedBytes: c.QueuedBytes, QueuedBytesMax: c.QueuedBytesMax, Dropped: dropped,
		}
	}
	return out
}
