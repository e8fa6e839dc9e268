package actors_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/hupe1980/rivven-cluster/actors"
)

func TestIDRoundTripAndFaults(t *testing.T) {
	id := actors.ID{0xab, 15: 0x01}
	back, err := actors.ParseID(id.String())
	if err != nil || back != id {
		t.Fatalf("%v %v", back, err)
	}
	for _, bad := range []string{"", "ab", "zz000000000000000000000000000001", id.String() + "00"} {
		if _, err := actors.ParseID(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, ok := actors.IDFromBytes(make([]byte, 15)); ok {
		t.Error("15 bytes were taken")
	}
}

func TestReplicaIDIsNeverReserved(t *testing.T) {
	low := actors.ID{8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff, 12: 0xff, 13: 0xff, 14: 0xff, 15: 0xff}
	low2 := low
	low2[15] = 0xfe
	for _, id := range []actors.ID{{}, low, low2} {
		if r := actors.ReplicaID(id); r == 0 || r >= math.MaxUint64-1 {
			t.Errorf("%s gives %d", id, r)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var id actors.ID
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		if r := actors.ReplicaID(id); r == 0 || r >= math.MaxUint64-1 {
			t.Fatalf("%s gives %d", id, r)
		}
	})
}

func TestReservedNames(t *testing.T) {
	for id, want := range map[string]bool{
		"raft/meta": true, "raft/kv/apply": true, "swim": true, "ring": true, "store": true, "guardian$1": true,
		"swimmer": false, "cart": false, "partition/orders/1": false,
	} {
		if actors.Reserved(id) != want {
			t.Errorf("Reserved(%q) = %v", id, !want)
		}
	}
}
