package raftactor

import (
	"time"

	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
)

// meters are the group's instruments. Labels are the group's name and a reason of a fixed list.
type meters struct {
	proposals, busy, dropped, reopened, snapshots, sent, noRoute, stale, yielded, fellBack, routesFull, evicted actors.Counter
	leader, term, commit, applied, halted                                                                       actors.Gauge

	refused map[string]actors.Counter
	logged  map[string]time.Duration // when a refusal was last logged, by reason
	make    func(reason string) actors.Counter
}

func newMeters(m actors.Metrics, group string) *meters {
	counter := func(name, help string) actors.Counter { return m.Counter("rivven_raft_"+name, help, "group", group) }
	gauge := func(name, help string) actors.Gauge { return m.Gauge("rivven_raft_"+name, help, "group", group) }
	return &meters{
		proposals:  counter("proposals_total", "Proposals that entered the log here."),
		busy:       counter("busy_total", "Requests refused because a table or queue was full."),
		dropped:    counter("messages_dropped_total", "Messages of peers that came while the replica was not running."),
		reopened:   counter("reopened_total", "Times the replica started over after a refused write."),
		snapshots:  counter("snapshots_total", "Snapshots taken."),
		sent:       counter("snapshots_sent_total", "Snapshots streamed to followers."),
		noRoute:    counter("messages_unroutable_total", "Messages to replicas whose address is unknown."),
		stale:      counter("messages_stale_total", "Responses to an earlier start of this replica."),
		routesFull: counter("routes_full_total", "Replicas of others whose address or start is not remembered, because as many are as can be."),
		evicted:    counter("sessions_evicted_total", "Sessions forgotten before they expired, because a further one was opened: retries in them end in unknown outcome."),
		fellBack:   counter("snapshot_fallbacks_total", "Starts from an earlier snapshot, because the newest can't be read."),
		yielded:    counter("yielded_total", "Times leadership was handed over because a write did not come back from the disk."),
		leader:     gauge("leader", "1 on the leader."),
		term:       gauge("term", "The current term."),
		commit:     gauge("commit_index", "The highest index known to be committed."),
		applied:    gauge("applied_index", "The highest index applied."),
		halted:     gauge("halted", "1 where the replica halted."),
		refused:    make(map[string]actors.Counter),
		logged:     make(map[string]time.Duration),
		make: func(reason string) actors.Counter {
			return m.Counter("rivven_raft_messages_refused_total", "Messages of peers that the guard refused.", "group", group, "reason", reason)
		},
	}
}

const refusalLogEvery = time.Second

// refuse counts and, at most once a second and reason, logs what the guard let not through.
func (g *group) refuse(reason string, from uint64, fields ...zap.Field) {
	c, ok := g.meter.refused[reason]
	if !ok {
		c = g.meter.make(reason)
		g.meter.refused[reason] = c
	}
	c.Add(1)
	now := g.env.Boot()
	if last, ok := g.meter.logged[reason]; ok && now-last < refusalLogEvery {
		return
	}
	g.meter.logged[reason] = now
	g.log.Warn("message of a peer refused", append([]zap.Field{zap.String("reason", reason), zap.Uint64("from", from)}, fields...)...)
}
