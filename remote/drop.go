package remote

import "github.com/hupe1980/rivven-cluster/actors"

// drop is why a message to a peer went to dead letters. The texts are the metric's label "reason" and the keys of
// [ClassStatus.Dropped].
type drop uint8

const (
	dropUnreachable drop = iota // the peer does not answer
	dropDead                    // the membership says that it is dead
	dropFull                    // its queue is full
	dropUnencodable             // no serializer takes it, or it is larger than a frame
	dropStopping                // this node is stopping
	dropBlank                   // one of the two nodes belongs to no cluster yet
	dropLost                    // what carries the class was lost, and it is of no use later
	dropBlocked                 // the peer is on the block list
	drops
)

var dropTexts = [drops]string{"unreachable", "dead", "queue_full", "unencodable", "stopping", "blank", "connection_lost", "blocked"}

func (d drop) String() string { return dropTexts[d] }

// dropped counts a message that was not sent.
func (c *core) dropped(p *peer, class actors.Class, why drop) {
	p.out[class].drops[why].Add(1)
	c.metrics.deadLetters.Add(1)
	c.metrics.drops[class][why].Add(1)
}
