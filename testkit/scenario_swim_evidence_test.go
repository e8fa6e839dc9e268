package testkit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/swimactor"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// Loss of datagrams, and streams that are late for it, kill nobody.
func TestScenarioLoss(t *testing.T) {
	for _, loss := range []float64{0.03, 0.10, 0.25} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
				formed(w)
				together(w, 5*time.Second)
				nobodyElseDies(w)
				model := w.Net().Model()
				lossy := model
				lossy.Loss = loss
				w.Net().SetModel(lossy)
				w.RunFor(60 * time.Second)
				w.Net().SetModel(model)
				together(w, 10*time.Second)
			})
		})
	}
}

// Lifeguard's anomaly: nodes that stand still again and again hear nothing meanwhile, and take nobody for dead for it; nor are they.
func TestScenarioStalledNodesAccuseNobody(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		formed(w)
		together(w, 5*time.Second)
		nobodyElseDies(w)
		r := w.Rand("stalls")
		for range 30 {
			w.Node(4).Pause(time.Duration(r.Int64N(int64(1500 * time.Millisecond))))
			w.Node(5).Pause(time.Duration(r.Int64N(int64(1500 * time.Millisecond))))
			w.RunFor(2 * time.Second)
		}
		together(w, 10*time.Second)
	})
}

// A node that sends and hears nobody is the one that is unwell: it says so itself, accuses nobody in public, and is well again once
// it hears.
func TestScenarioDeafNode(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		formed(w)
		together(w, 5*time.Second)
		deaf := w.Node(5)
		w.On(testkit.Match{Kind: "declared dead"}, func(e testkit.Event) {
			w.Require("nobody believes the deaf node", e.From == deaf.ID() || e.Node == deaf.ID(), "node %d is dead for node %d", e.Node, e.From)
		})
		p := w.ProbeOn(deaf, "subscriber")
		p.Send(deaf.PID(actors.NameSwim), &membership.Subscribe{})
		for _, other := range w.Others(deaf) {
			w.Net().Cut(other.ID(), deaf.ID())
		}
		testkit.FishFor(p, 15*time.Second, func(m *membership.Isolated) bool { return m.GetIsolated() })
		w.RunFor(20 * time.Second)
		w.Net().MendAll()
		testkit.FishFor(p, 10*time.Second, func(m *membership.Isolated) bool { return !m.GetIsolated() })
		together(w, 30*time.Second)
	})
}

// Where nothing but streams gets through to a node, it is not dead: a ping over the main connection says so.
func TestScenarioBlockedDatagrams(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		formed(w)
		together(w, 5*time.Second)
		nobodyElseDies(w)
		w.Net().BlockDatagrams(3, true)
		w.RunFor(60 * time.Second)
		w.Holds("it is alive for all", time.Second, func(v testkit.View) error {
			for _, by := range v.Nodes() {
				if m := v.Member(by, w.Node(3).NodeID()); by.ID() != 3 && !m.Up() {
					return fmt.Errorf("node 3 is %v for node %d", m.GetState(), by.ID())
				}
			}
			return nil
		})
		w.Net().BlockDatagrams(3, false)
		together(w, 10*time.Second)
	})
}

// A node that is back at once, before anybody missed it, supersedes its former life at once.
func TestScenarioRestartWithTheSameID(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		formed(w)
		together(w, 5*time.Second)
		nobodyElseDies(w)
		before := generationOf(w, 4, 1)
		w.Node(4).Crash(testkit.KeepPageCache)
		w.Node(4).Restart()
		w.Await("everybody sees its new life", 10*time.Second, func(v testkit.View) error {
			for by := range 3 {
				if got := generationOf(w, 4, by+1); got <= before {
					return fmt.Errorf("node %d sees generation %d, which was before", by+1, got)
				}
			}
			return nil
		})
		together(w, 5*time.Second)
	})
}

func generationOf(w *testkit.World, id, by int) (generation uint64) {
	w.Await("it is known", 5*time.Second, func(v testkit.View) error {
		if generation = v.Member(w.Node(by), w.Node(id).NodeID()).GetGeneration(); generation == 0 {
			return fmt.Errorf("node %d is not known to node %d", id, by)
		}
		return nil
	})
	return generation
}

// recordOf takes the record of a node as it goes over the wire, signed: it answers with it whoever asks for a life of it that is not this one.
func recordOf(w *testkit.World, n *testkit.Node) *swimactor.Record {
	var found *swimactor.Record
	w.On(testkit.Match{Message: (*swimactor.Message)(nil)}, func(e testkit.Event) {
		if self := e.Message.(*swimactor.Message).GetMismatch().GetRecord(); self.GetId() == n.NodeID() {
			found = self
		}
	})
	n.Deliver(w.Others(n)[0], actors.NameSwim, &swimactor.Message{Body: &swimactor.Message_Ping{
		Ping: &swimactor.Ping{Seq: 1, Target: n.NodeID(), Generation: 1},
	}})
	w.Await("its record is seen on its way", 90*time.Second, func(testkit.View) error {
		if found == nil {
			return fmt.Errorf("nothing of node %d was overheard", n.ID())
		}
		return nil
	})
	return found
}

func gossip(updates ...*swimactor.Update) *swimactor.Message {
	return &swimactor.Message{Body: &swimactor.Message_Gossip{Gossip: &swimactor.Gossip{Updates: updates}}}
}

// What a node said of itself before it died does not bring it back, however late it comes.
func TestScenarioStaleAliveAfterDead(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		formed(w)
		together(w, 5*time.Second)
		dead := w.Node(5)
		stale := recordOf(w, dead)
		w.Require("it is signed", len(stale.GetSignature()) > 0 && len(stale.GetCertificateHash()) > 0, "%v", stale)
		dead.Crash(testkit.KeepPageCache)
		w.Await("everybody knows of the death", 20*time.Second, seenAs(dead, membership.State_STATE_DEAD))
		for i := 1; i < 4; i++ {
			w.Node(i).Deliver(w.Node(4), actors.NameSwim, gossip(&swimactor.Update{State: uint32(membership.State_STATE_ALIVE), Record: stale}))
		}
		w.Holds("it stays dead", 20*time.Second, seenAs(dead, membership.State_STATE_DEAD))
		dead.Restart()
		together(w, 20*time.Second)
	})
}

// A member that makes up what another says of itself, or its death in the far future, is believed by nobody.
func TestScenarioForgedRecord(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		formed(w)
		together(w, 5*time.Second)
		nobodyElseDies(w)
		victim, forger := w.Node(2), w.Node(5)
		honest := recordOf(w, victim)
		forge := func(change func(*swimactor.Record)) *swimactor.Record {
			r := &swimactor.Record{
				Id: honest.GetId(), Directory: honest.GetDirectory(), Name: honest.GetName(), Generation: honest.GetGeneration(),
				Incarnation: honest.GetIncarnation() + 1000, Address: honest.GetAddress(), GossipAddress: honest.GetGossipAddress(),
				CertificateHash: honest.GetCertificateHash(), Signature: honest.GetSignature(),
			}
			change(r)
			return r
		}
		forgeries := []*swimactor.Update{
			{State: uint32(membership.State_STATE_ALIVE), Record: forge(func(r *swimactor.Record) { r.Address = forger.Address() })},
			{State: uint32(membership.State_STATE_LEFT), Record: forge(func(r *swimactor.Record) { r.Left = true })},
			{State: uint32(membership.State_STATE_ALIVE), Record: forge(func(r *swimactor.Record) { r.Signature = nil })},
			{State: uint32(membership.State_STATE_DEAD), Record: forge(func(*swimactor.Record) {})},
			{State: uint32(membership.State_STATE_DEAD), Id: honest.GetId(), Generation: honest.GetGeneration(), Incarnation: honest.GetIncarnation() + 1000},
			{State: uint32(membership.State_STATE_DEAD), Id: honest.GetId(), Generation: honest.GetGeneration() + 1000, Incarnation: 0},
		}
		for range 10 {
			for i := 1; i < 5; i++ {
				w.Node(i).Deliver(forger, actors.NameSwim, gossip(forgeries...))
			}
			w.RunFor(time.Second)
		}
		w.Holds("the victim lives where it lived", 5*time.Second, func(v testkit.View) error {
			for _, by := range v.Nodes() {
				m := v.Member(by, victim.NodeID())
				if by != victim && (!m.Up() || m.GetAddress() != victim.Address() || m.GetIncarnation() > honest.GetIncarnation()+100) {
					return fmt.Errorf("node %d sees %v", by.ID(), m)
				}
			}
			return nil
		})
	})
}

// A node that gets another certificate signs its record anew, and everybody takes that, those too that come later.
func TestScenarioCertificateRenewed(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 4}, func(w *testkit.World) {
		formed(w)
		together(w, 5*time.Second)
		nobodyElseDies(w)
		renewed, late := w.Node(2), w.Node(4)
		before := recordOf(w, renewed)
		renewed.RenewCertificate()
		old := func() (holders []int) {
			for _, by := range w.Others(renewed) {
				answer, err := by.Ask(actors.NameSwim, &membership.GetMembers{}, time.Second)
				w.Require("members are told", err == nil, "%v", err)
				for _, m := range answer.(*membership.Members).GetMembers() {
					if m.GetNodeId() == renewed.NodeID() && m.GetIncarnation() <= before.GetIncarnation() {
						holders = append(holders, by.ID())
					}
				}
			}
			return holders
		}
		for seconds := 0; seconds < 90 && len(old()) > 0; seconds++ {
			w.RunFor(time.Second)
		}
		w.Require("everybody has the record that the new key signed", len(old()) == 0, "nodes %v do not", old())
		after := recordOf(w, renewed)
		w.Require("the key is another", string(after.GetCertificateHash()) != string(before.GetCertificateHash()), "it is the same")
		late.Crash(testkit.KeepPageCache)
		late.Restart() // it knows nobody
		together(w, 20*time.Second)
	})
}

// A node that knows a name alone, which stands for all the others, finds them whoever of them is down, and keeps asking until there is
// somebody.
func TestScenarioSeedWithSeveralAddresses(t *testing.T) {
	const seeds = "seeds:9093"
	play(t, testkit.Scenario{Nodes: 4, Configure: func(id int, cfg *node.Config) {
		if id == 4 {
			cfg.Peers = []string{seeds}
		} else {
			cfg.Peers = []string{"n1:9093", "n2:9093", "n3:9093"}
		}
	}}, func(w *testkit.World) {
		w.RunFor(10 * time.Second) // the name stands for nobody yet
		w.Net().Name(seeds, 1, 2, 3)
		together(w, 30*time.Second)
		joiner := w.Node(4)
		joiner.Crash(testkit.KeepPageCache)
		w.Node(1).Crash(testkit.KeepPageCache)
		w.RunFor(time.Second)
		joiner.Restart()
		w.Await("it finds the two that are up", 30*time.Second, func(v testkit.View) error {
			for _, id := range []uint64{2, 3} {
				if m := v.Member(joiner, id); !m.Up() {
					return fmt.Errorf("node %d is %v", id, m.GetState())
				}
			}
			return nil
		})
		w.Node(1).Restart()
		together(w, 30*time.Second)
	})
}
