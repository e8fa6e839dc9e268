package cli

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hupe1980/rivven-cluster/node/client"
)

func (a *app) peersCommand() *cobra.Command {
	var o connection
	var classes bool
	c := &cobra.Command{
		Use: "peers", Short: "Show the connections of one node: state, round trip, losses, what they carried and dropped", Args: cobra.NoArgs,
		Long: "Show the connections of one node to the others, as that node sees them: not the membership's judgement, but what is dialed, how\n" +
			"far a packet has to go, how many are lost, and what was sent, received, queued and dropped, since its process began. With --classes\n" +
			"once more for each delivery class. JSON always has all of it.",
		RunE: o.asking(func(ctx context.Context, c *client.Client, _ []string) error {
			peers, err := c.Peers(ctx)
			if err != nil {
				return err
			}
			return a.print(peers, func(b *bytes.Buffer) { a.peerTables(b, peers, classes) })
		}),
	}
	o.flags(c)
	c.Flags().BoolVar(&classes, "classes", false, "show each delivery class of each peer")
	return c
}

func (a *app) peerTables(b *bytes.Buffer, p *client.Peers, classes bool) {
	fmt.Fprintf(b, "node %d, %d connections dialed by others, %d of them without a Hello\n\n", p.Self, p.Connections, p.HalfOpen)
	t := table{header: []string{"ID", "NAME", "STATE", "ADDRESS", "RTT", "LOST", "RECONNECTS", "SENT", "RECEIVED", "QUEUED", "DROPPED", "LAST ERROR"}}
	perClass := table{header: []string{"ADDRESS", "CLASS", "SENT", "BYTES", "RECEIVED", "BYTES", "QUEUED", "OF", "DROPPED"}}
	for i := range p.Peers {
		peer := &p.Peers[i]
		sum := client.PeerClass{Dropped: make(map[string]uint64)}
		for _, name := range slices.Sorted(maps.Keys(peer.Classes)) {
			c := peer.Classes[name]
			sum.SentMessages += c.SentMessages
			sum.ReceivedMessages += c.ReceivedMessages
			sum.QueuedBytes += c.QueuedBytes
			for why, n := range c.Dropped {
				sum.Dropped[why] += n
			}
			perClass.row(peer.Address, name, c.SentMessages, c.SentBytes, c.ReceivedMessages, c.ReceivedBytes, c.QueuedBytes, c.QueuedBytesMax, droppedCell(c.Dropped))
		}
		rtt := "-"
		if peer.RTTMicros > 0 {
			rtt = micros(peer.RTTMicros)
		}
		t.row(nodeText(peer), orDash(peer.Name), peerStateCell(peer.State), peer.Address, rtt, lossText(peer), peer.Reconnects,
			sum.SentMessages, sum.ReceivedMessages, sum.QueuedBytes, droppedCell(sum.Dropped), orDash(peer.LastError))
	}
	t.write(b, a.color)
	if classes && len(perClass.rows) > 0 {
		b.WriteByte('\n')
		perClass.write(b, a.color)
	}
}

// nodeText is a peer's id, which a peer that never answered has not told.
func nodeText(p *client.Peer) string {
	if p.ID == 0 {
		return "-"
	}
	return fmt.Sprint(p.ID)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// lossText is the lost part of the packets that were sent.
func lossText(p *client.Peer) string {
	if p.PacketsSent == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f%%", 100*float64(p.PacketsLost)/float64(p.PacketsSent))
}

func droppedCell(dropped map[string]uint64) cell {
	var reasons []string
	for _, why := range slices.Sorted(maps.Keys(dropped)) {
		if dropped[why] > 0 {
			reasons = append(reasons, fmt.Sprintf("%s=%d", why, dropped[why]))
		}
	}
	if len(reasons) == 0 {
		return cell{text: "0"}
	}
	return cell{strings.Join(reasons, ","), yellow}
}

func peerStateCell(s client.PeerState) cell {
	switch s {
	case client.PeerConnected:
		return cell{string(s), green}
	case client.PeerDown:
		return cell{string(s), red}
	case client.PeerConnecting, client.PeerLeaving:
		return cell{string(s), yellow}
	}
	return cell{text: string(s)}
}
