package testkit

import "fmt"

// judgeClusters: nodes that are each other's peers from the start never form two clusters.
func (o *observer) judgeClusters() {
	for _, n := range o.world.nodes {
		id := n.disk.durable.Identity().ClusterID
		switch {
		case id == "" || o.separate:
		case o.cluster == "":
			o.cluster, o.founder = id, n.id
		case o.cluster != id:
			o.world.failed("bootstrap: one cluster", fmt.Sprintf("node %d belongs to cluster %s, and node %d to %s", o.founder, o.cluster, n.id, id))
		}
	}
}

// SeparateClusters says that the nodes of this world form more than one cluster on purpose.
func (w *World) SeparateClusters() { w.observed.separate = true }
