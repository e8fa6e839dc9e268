package logstore

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"
)

// FuzzRecord feeds the decoder records whose checksum is right and whose content is anything.
func FuzzRecord(f *testing.F) {
	flush := &boltFlush{}
	p := newPosition()
	for _, w := range []GroupWrite{
		{Group: "a", Entries: sizedEntries(1, 1, 5, 20), HardState: testHard(1, 2, 3)},
		{Group: "a", Snapshot: &SnapshotRef{Group: "a", Index: 3, Term: 1, Peers: []byte("p")}, Compact: 2},
		{Group: "a", Remove: true},
	} {
		ops, err := p.resolve(&w)
		if err != nil {
			f.Fatal(err)
		}
		flush.addAll(splitOps(ops))
	}
	f.Add(flush.records[0].body[recordHead:])
	f.Add([]byte{byte(opEntries), 1, 'g', 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		record := append(beginRecord(nil), body...)
		sealRecord(record, 1, 1)
		x := newIndex(1 << 20)
		x.segments = []*segment{{id: 1}}
		err := decodeRecord(record, 1, 1, func(o *op) {
			if o.count > len(body) {
				t.Fatalf("%d entries in %d bytes", o.count, len(body))
			}
			if o.count > 0 {
				r := run{first: o.first, term: o.terms[0].term, count: uint32(o.count), at: o.at}
				if _, err := decodeEntries(record, r, r.first, r.end()); err != nil {
					t.Fatalf("entries that were checked can't be read: %v", err)
				}
			}
			x.replay(o)
		})
		if err != nil {
			return
		}
		_ = x.settle()
	})
}

// FuzzPages reads a database file that is anything; bbolt never sees it.
func FuzzPages(f *testing.F) {
	opts := testOptions()
	opts.PreallocateBytes = 1
	r := openRig(f, opts)
	r.write(GroupWrite{Group: "g", Entries: sizedEntries(1, 1, 3, 100)}, GroupWrite{Group: "h", Entries: sizedEntries(1, 1, 1, 3000)})
	_ = r.Close()
	sound, err := os.ReadFile(filepath.Join(r.dir, DatabaseFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(3*boltPageSize+8), []byte{1, 0})
	f.Add(uint32(4*boltPageSize+12), []byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		content := bytes.Clone(sound)
		copy(content[int(at)%len(content):], patch)
		pages, err := openPages(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return
		}
		s := &scan{index: newIndex(1 << 20), found: make(map[string]bool)}
		if err := pages.walk(pages.root, func(key, value []byte, bucket bool) error { return s.root(pages, key, value, bucket) }); err == nil {
			_ = s.check()
		}
	})
}

func FuzzSnapshotHead(f *testing.F) {
	ref := testRef("meta", 7)
	f.Add(encodeSnapshotHead(&ref))
	f.Add([]byte(snapshotMagic))
	f.Fuzz(func(t *testing.T, head []byte) {
		got, length, err := readSnapshotHead(bytes.NewReader(head))
		if err != nil {
			return
		}
		if length > int64(len(head)) {
			t.Fatalf("a head of %d bytes in %d", length, len(head))
		}
		if _, err := refFromProto(proto.Clone(got.toProto()).(*Ref)); err != nil {
			t.Fatal(err)
		}
	})
}
