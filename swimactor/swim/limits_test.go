package swim

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestProfilesAreValid(t *testing.T) {
	for name, cfg := range map[string]Config{"LAN": DefaultLAN(), "WAN": DefaultWAN(), "Local": DefaultLocal()} {
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if cfg.DeadRetention < 24*time.Hour {
			t.Errorf("%s: dead members are remembered for %v only", name, cfg.DeadRetention)
		}
		if limit := cfg.ProtocolPeriod - cfg.ProbeTimeout; cfg.nackAfter() >= limit {
			t.Errorf("%s: a nack after %v comes too late for a verdict after %v", name, cfg.nackAfter(), limit)
		}
	}
}

func TestWithProtocolPeriodKeepsTheProportion(t *testing.T) {
	cfg := DefaultLAN().WithProtocolPeriod(200 * time.Millisecond)
	if cfg.ProtocolPeriod != 200*time.Millisecond || cfg.ProbeTimeout != 100*time.Millisecond {
		t.Errorf("period %v, timeout %v", cfg.ProtocolPeriod, cfg.ProbeTimeout)
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}

func TestEveryFaultOfAConfigurationIsNamed(t *testing.T) {
	cfg := Config{ProbeTimeout: 2 * time.Second, ProtocolPeriod: time.Second, JoinInterval: time.Second, AwarenessMax: -1, PacketBytes: 100, ClusterID: strings.Repeat("x", 200)}
	self := Record{Name: strings.Repeat("n", 200), Left: true, Tags: map[string]string{"k": strings.Repeat("v", 2048)}}
	_, err := New(cfg, self, nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"SuspectTimeout", "GossipInterval", "SyncInterval", "HealInterval", "DeadRetention", "LeaveTimeout", "AwarenessMax is -1",
		"PacketBytes is 100", "GossipFanout", "ProbeTimeout 2s", "JoinIntervalMax", "ClusterID has 200", "MembersMax",
		"node id is 0", "address is empty", "name has 200", "tags have 2049", "left", "random source",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q:\n%v", want, err)
		}
	}
}

func TestTagLimits(t *testing.T) {
	many := make(map[string]string)
	for i := range tagsMax + 1 {
		many[strings.Repeat("k", i+1)[:min(i+1, 3)]+string(rune('0'+i))] = ""
	}
	for _, c := range []struct {
		name string
		tags map[string]string
		ok   bool
	}{
		{"none", nil, true},
		{"full", map[string]string{"k": strings.Repeat("v", TagsBytesMax-1)}, true},
		{"too long", map[string]string{"k": strings.Repeat("v", TagsBytesMax)}, false},
		{"empty key", map[string]string{"": "v"}, false},
		{"too many", many, false},
	} {
		s := newSubject(t, DefaultLAN(), 2)
		out, err := s.UpdateTags(0, c.tags)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := s.Self().Record.Incarnation; (got == 1) != c.ok || (len(out.Events) == 1) != c.ok {
			t.Errorf("%s: incarnation %d, events %v", c.name, got, kinds(out))
		}
	}
}

func TestTagsAreCopied(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2)
	tags := map[string]string{"zone": "a"}
	if _, err := s.UpdateTags(0, tags); err != nil {
		t.Fatal(err)
	}
	tags["zone"] = "b"
	if got := s.Self().Record.Tags["zone"]; got != "a" {
		t.Errorf("a published record changed to zone %q", got)
	}
}

func TestTableIsBounded(t *testing.T) {
	cfg := DefaultLAN()
	cfg.MembersMax = 4
	s := newSubject(t, cfg, 2, 3, 4, 5, 6)
	if len(s.Members()) != 4 || s.Stats().Refused.TableFull != 2 {
		t.Errorf("%d members, %d refused", len(s.Members()), s.Stats().Refused.TableFull)
	}
}

func TestTheDeadAreForgottenInTheEnd(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4)
	s.gossip(4, accusation(2, Dead, 1, 0), leftUpdate(3, 1, 1))
	s.now = s.cfg.LeftRetention + time.Minute
	s.Tick(s.now)
	if _, known := s.Member(3); known {
		t.Error("who left is never forgotten")
	}
	s.is(2, Dead)
	s.now = s.cfg.DeadRetention + time.Minute
	s.Tick(s.now)
	if _, known := s.Member(2); known {
		t.Error("the dead are never forgotten")
	}
	s.check(t)
}

func TestLeastSentGoFirstAndEachOnlySoOften(t *testing.T) {
	b := newBroadcasts()
	for id := uint64(1); id <= 3; id++ {
		b.put(accusation(id, Suspect, 1, 0))
	}
	u := accusation(1, Suspect, 1, 0)
	one := u.bytes()
	counts := make(map[uint64]int)
	for range 12 {
		updates, left := b.pick(nil, one, 4)
		if len(updates) != 1 || left != 0 {
			t.Fatalf("%d updates, %d bytes left", len(updates), left)
		}
		counts[updates[0].ID]++
		low, high := 12, 0
		for id := uint64(1); id <= 3; id++ {
			low, high = min(low, counts[id]), max(high, counts[id])
		}
		if high-low > 1 {
			t.Fatalf("not the least sent first: %v", counts)
		}
	}
	if b.len() != 0 {
		t.Errorf("%d updates go on beyond the limit", b.len())
	}
	b.put(accusation(1, Suspect, 1, 0))
	b.put(accusation(1, Dead, 1, 0))
	if updates, _ := b.pick(nil, 1000, 4); len(updates) != 1 || updates[0].State != Dead {
		t.Errorf("an older update about the same member is still there: %v", updates)
	}
}

func TestRetransmitLimit(t *testing.T) {
	cfg := DefaultLAN()
	for n, want := range map[int]int{1: 4, 9: 4, 10: 8, 99: 8, 100: 12, 5000: 16} {
		if got := cfg.retransmitLimit(n); got != want {
			t.Errorf("%d members: %d, want %d", n, got, want)
		}
	}
	cfg.ExpectedMembers = 300
	if got := cfg.retransmitLimit(2); got != 12 {
		t.Errorf("2 members of 300 expected: %d, want 12", got)
	}
}

func TestLargeSynchronisationComesInParts(t *testing.T) {
	s := newSubject(t, DefaultLAN())
	for id := uint64(10); id < 110; id++ {
		u := aliveUpdate(id, 1, 0)
		u.Record.Tags = map[string]string{"big": strings.Repeat("x", 2000)}
		s.gossip(10, u)
	}
	newcomer := record(5)
	parts, _ := find[*SyncRecords](s.hear(5, &SyncRequest{Join: true, Self: &newcomer}))
	total := 0
	for i, p := range parts {
		total += len(p.Updates)
		bytes := 0
		for j := range p.Updates {
			bytes += p.Updates[j].bytes()
		}
		if bytes > syncPartBytes || p.Last != (i == len(parts)-1) {
			t.Errorf("part %d of %d has %d bytes, last %v", i, len(parts), bytes, p.Last)
		}
	}
	if len(parts) < 3 || total != 102 {
		t.Errorf("%d parts with %d records, want several with 102", len(parts), total)
	}
}

func TestSynchronisationCarriesOnlyDifferences(t *testing.T) {
	s := newSubject(t, DefaultLAN())
	for id := uint64(2); id < 200; id++ {
		s.gossip(2, aliveUpdate(id, 1, 0))
	}
	other, err := New(DefaultLAN(), record(2), rand.New(rand.NewPCG(2, 2)))
	if err != nil {
		t.Fatal(err)
	}
	other.Start(0)
	for id := uint64(3); id < 200; id++ {
		u := aliveUpdate(id, 1, 0)
		if id == 50 {
			u = aliveUpdate(id, 1, 1)
		}
		other.Receive(0, Peer{ID: 3}, &Gossip{Updates: []Update{u}})
	}
	one := record(1)
	req := &SyncRequest{Digest: s.digest, Self: &one}
	var toOther Message = req
	records := 0
	for step := 0; step < 8 && toOther != nil; step++ {
		replies := other.Receive(0, s.Self().Record.Peer(), toOther).Sends
		toOther = nil
		for _, r := range replies {
			if m, ok := r.Message.(*SyncRecords); ok {
				records += len(m.Updates)
			}
			for _, back := range s.hear(2, r.Message).Sends {
				if m, ok := back.Message.(*SyncRecords); ok {
					records += len(m.Updates)
				}
				toOther = back.Message
			}
		}
	}
	if s.digest != other.digest {
		t.Fatal("the tables still differ")
	}
	if records != 1 {
		t.Errorf("%d records went over for one difference", records)
	}
}

func TestJoinNeverGivesUp(t *testing.T) {
	s := newSubject(t, DefaultLAN())
	out := s.Join(0, []string{"a", "b"})
	if len(out.Resolve) != 2 {
		t.Fatalf("asked for %v", out.Resolve)
	}
	tries := len(s.pass(10*time.Minute).Resolve) / 2
	if tries < 45 || tries > 90 {
		t.Errorf("%d tries in ten minutes, want one about every ten seconds", tries)
	}
	reqs, to := find[*SyncRequest](s.Resolved(s.now, "a", []Peer{{ID: 2, Address: address(2)}, {ID: 1, Address: address(1)}, {Address: address(3)}}))
	if len(reqs) != 2 || to[0] != 2 || !reqs[0].Join {
		t.Fatalf("contacted %v: everybody behind a name but oneself is meant", to)
	}
	if reqs, _ := find[*SyncRequest](s.Resolved(s.now, "unknown", []Peer{{ID: 9, Address: address(9)}})); len(reqs) != 0 {
		t.Error("contacted a seed that nobody named")
	}
	u2, u3 := aliveUpdate(2, 1, 0), aliveUpdate(3, 1, 0)
	s.hear(2, &SyncRecords{Updates: []Update{u2, u3}, Last: true})
	s.Resolved(s.now, "a", []Peer{{ID: 2, Address: address(2)}})
	s.Resolved(s.now, "b", []Peer{{ID: 3, Address: address(3)}})
	s.gossip(2, aliveUpdate(4, 1, 0))
	if !s.seeds[0].met || !s.seeds[1].met {
		t.Error("seeds that are members are still wanted")
	}
	s.gossip(2, accusation(2, Dead, 1, 0), accusation(3, Dead, 1, 0), accusation(4, Dead, 1, 0))
	if again := s.pass(time.Minute).Resolve; len(again) == 0 {
		t.Error("a node that is left alone does not try its seeds again")
	}
}

func TestIsolatedNodeAccusesInSilence(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4)
	out := s.pass(20 * time.Second)
	isolatedAt := -1
	for i, e := range out.Events {
		switch e.Kind {
		case Isolated:
			isolatedAt = i
		case Failed:
			if isolatedAt < 0 {
				t.Error("it declared a death before it doubted itself")
			}
		}
	}
	if isolatedAt < 0 {
		t.Fatal("it never noticed")
	}
	gossip, _ := find[*Gossip](s.pass(20 * time.Second))
	for _, g := range gossip {
		for _, u := range g.Updates {
			if u.State == Dead || u.State == Suspect {
				t.Errorf("it spread %+v", u)
			}
		}
	}
	if got := kinds(s.hear(2, &Nack{})); !strings.HasPrefix(got, "reconnected") && !strings.Contains(got, "reconnected") {
		t.Errorf("on hearing somebody: %q", got)
	}
}

func TestStallPostponesVerdicts(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4)
	s.gossip(3, accusation(2, Suspect, 1, 0, 3), accusation(2, Suspect, 1, 0, 4))
	s.now += time.Minute
	s.Tick(s.now)
	s.is(2, Suspect)
	if got := s.Stats(); got.Stalls != 1 || got.Awareness == 0 || got.Isolated {
		t.Errorf("stats: %+v", got)
	}
	// What had queued up meanwhile gets its hearing.
	s.gossip(2, aliveUpdate(2, 1, 1))
	s.is(2, Alive)
}

func TestImpostorsAreReportedOnce(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3)
	twin := record(1)
	twin.Directory = "other"
	u := Update{ID: 1, Generation: 1, State: Alive, Record: &twin}
	if got := kinds(s.gossip(2, u)); got != "conflict" {
		t.Errorf("events %q", got)
	}
	if got := kinds(s.gossip(3, u)); got != "" {
		t.Errorf("events %q the second time", got)
	}
	later := record(1)
	later.Generation = 5
	notices, _ := find[*ConflictNotice](s.Receive(0, Peer{ID: 1, Address: "else:1"}, &SyncRequest{Self: &later}))
	if len(notices) != 1 || notices[0].Refused.Generation != 5 {
		t.Errorf("a later process of this directory is told %v", notices)
	}
}
