package swimactor

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

func anyRecord(t *rapid.T) *swim.Record {
	r := &swim.Record{
		ID: rapid.Uint64Min(1).Draw(t, "id"), Directory: rapid.StringN(0, 16, 64).Draw(t, "directory"),
		Name: strings.ToValidUTF8(rapid.StringN(0, 20, 60).Draw(t, "name"), "x"), Generation: rapid.Uint64().Draw(t, "generation"),
		Incarnation: rapid.Uint64Max(1<<62).Draw(t, "incarnation"), Address: "host:1", Left: rapid.Bool().Draw(t, "left"),
	}
	if rapid.Bool().Draw(t, "signed") {
		r.CertificateHash, r.Signature = make([]byte, 16), make([]byte, 64)
	}
	if n := rapid.IntRange(0, 5).Draw(t, "tags"); n > 0 {
		r.Tags = make(map[string]string)
		for range n {
			r.Tags[rapid.StringMatching(`[a-z]{1,9}`).Draw(t, "key")] = rapid.StringMatching(`[a-z]{0,200}`).Draw(t, "value")
		}
	}
	return r
}

func anyUpdates(t *rapid.T) []swim.Update {
	var updates []swim.Update
	for range rapid.IntRange(0, 6).Draw(t, "updates") {
		r := anyRecord(t)
		u := swim.Update{ID: r.ID, Generation: r.Generation, Incarnation: r.Incarnation, State: swim.State(rapid.IntRange(1, 4).Draw(t, "state"))}
		if rapid.Bool().Draw(t, "full") {
			u.Record, u.Replaces = r, rapid.StringN(0, 8, 16).Draw(t, "replaces")
		}
		u.Accusers = append(u.Accusers, rapid.SliceOfN(rapid.Uint64(), 0, 8).Draw(t, "accusers")...)
		updates = append(updates, u)
	}
	return updates
}

// Whatever a core sends arrives as it was.
func TestWireRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seq, updates, r := rapid.Uint64().Draw(t, "seq"), anyUpdates(t), anyRecord(t)
		for _, want := range []swim.Message{
			&swim.Ping{Seq: seq, Target: r.ID, Generation: seq, Stream: r.Left, Updates: updates},
			&swim.Ack{Seq: seq, Digest: seq, Updates: updates},
			&swim.Mismatch{Seq: seq, Record: r},
			&swim.PingReq{Seq: seq, Target: r.ID, Generation: seq, Updates: updates},
			&swim.Nack{Seq: seq},
			&swim.Gossip{Updates: updates},
			&swim.SyncRequest{Cluster: "c", Digest: seq, Join: true, Self: r, Certificate: []byte{1, 2}},
			&swim.SyncEqual{Digest: seq},
			&swim.SyncBuckets{Digests: []uint64{seq, 1}},
			&swim.SyncSummary{Buckets: []uint32{3}, Entries: []swim.Summary{{ID: r.ID, Generation: 1, Incarnation: 2, State: swim.Dead}}},
			&swim.SyncRecords{Updates: updates, Wants: []uint64{seq}, Last: true, Certificates: [][]byte{{1}, {2, 3}}},
			&swim.LeaveNotice{Seq: seq, Record: r},
			&swim.LeaveAck{Seq: seq},
			&swim.ConflictNotice{Holder: r, Refused: r},
		} {
			data, err := proto.Marshal(Encode(want))
			if err != nil {
				t.Fatal(err)
			}
			var wire Message
			if err := proto.Unmarshal(data, &wire); err != nil {
				t.Fatal(err)
			}
			if got := Decode(&wire); !reflect.DeepEqual(got, want) {
				t.Fatalf("%T came back as\n%+v, was\n%+v", want, got, want)
			}
		}
	})
}

// The core's size estimate, by which it fills datagrams, is never below what the encoding takes.
func TestSizeEstimateHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		updates := anyUpdates(t)
		for _, msg := range []swim.Message{
			&swim.Ping{Seq: ^uint64(0), Target: ^uint64(0), Generation: ^uint64(0), Stream: true, Updates: updates},
			&swim.Ack{Seq: ^uint64(0), Digest: ^uint64(0), Updates: updates},
			&swim.PingReq{Seq: ^uint64(0), Target: ^uint64(0), Generation: ^uint64(0), Updates: updates},
			&swim.Gossip{Updates: updates},
		} {
			if got, most := proto.Size(Encode(msg)), swim.DatagramBytes(updates); got > most {
				t.Fatalf("%T takes %d bytes, estimated at %d", msg, got, most)
			}
		}
	})
}

// Whatever bytes come as a message, and from whomever, the core takes them without a panic.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{})
	for _, msg := range []swim.Message{
		&swim.Ping{Seq: 1, Target: 2, Updates: []swim.Update{{ID: 3, State: swim.Suspect, Accusers: []uint64{4}}}},
		&swim.SyncRecords{Updates: []swim.Update{{ID: 3, State: swim.Alive, Record: &swim.Record{ID: 3, Address: "a:1"}}}, Last: true},
	} {
		data, err := proto.Marshal(Encode(msg))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	cfg, err := testConfig(1).complete()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var wire Message
		if proto.Unmarshal(data, &wire) != nil {
			return
		}
		msg := Decode(&wire)
		if msg == nil {
			return
		}
		core, err := swim.New(cfg.Protocol, cfg.record(), rand.New(rand.NewPCG(1, 1)))
		if err != nil {
			t.Fatal(err)
		}
		core.Start(0)
		now := time.Duration(0)
		for _, from := range []uint64{0, 1, 2, 3} {
			core.Receive(now, swim.Peer{ID: from, Address: "peer:1"}, msg)
			now += time.Second
			for _, s := range core.Tick(now).Sends {
				if Encode(s.Message).Body == nil {
					t.Errorf("%T has no encoding", s.Message)
				}
			}
		}
		_ = core.Members()
	})
}
