package logstore

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

func testRef(group string, index uint64) SnapshotRef {
	return SnapshotRef{Group: group, Index: index, Term: 3, ConfState: &raftpb.ConfState{Voters: []uint64{1, 2}}, Peers: []byte("peers")}
}

func putSnapshot(t *testing.T, files SnapshotFiles, ref SnapshotRef, data []byte) SnapshotRef {
	t.Helper()
	w, err := files.Create(ref)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	got, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSnapshotFiles(t *testing.T) {
	for name, open := range map[string]func() SnapshotFiles{
		"memory": NewSnapshotMemory,
		"dir": func() SnapshotFiles {
			files, err := NewSnapshotDir(filepath.Join(t.TempDir(), "a[b]"))
			if err != nil {
				t.Fatal(err)
			}
			return files
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := open()
			for _, group := range []string{"meta", "Meta", "../x", "a/b", strings.Repeat("ü", 120), strings.Repeat("ü", 119) + "xx"} {
				for i := range uint64(3) {
					putSnapshot(t, files, testRef(group, 10+i), testData(300_000+int(i)))
				}
				refs, err := files.List(group)
				if err != nil || len(refs) != 3 || refs[0].Index != 12 || refs[2].Index != 10 || refs[0].Group != group {
					t.Fatalf("%q: %+v, %v", group, refs, err)
				}
				if !proto.Equal(refs[0].ConfState, testRef(group, 0).ConfState) || string(refs[0].Peers) != "peers" {
					t.Fatalf("%+v", refs[0])
				}
				f, err := files.Open(refs[1])
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(f)
				if err != nil || !bytes.Equal(got, testData(300_001)) {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
				_ = f.Close()
				if err := files.Remove(refs[2]); err != nil {
					t.Fatal(err)
				}
				if _, err := files.Open(refs[2]); !errors.Is(err, ErrNoSnapshot) {
					t.Fatalf("got %v", err)
				}
				other := refs[0]
				other.Checksum++
				if _, err := files.Open(other); !errors.Is(err, ErrNoSnapshot) {
					t.Fatalf("got %v", err)
				}
			}
			want := testRef("meta", 20)
			want.Size, want.Checksum = 10, 1
			w, err := files.Create(want)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(testData(10)); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(testData(1)); !errors.Is(err, ErrSnapshotChecksum) {
				t.Fatalf("took more than was announced: %v", err)
			}
			if _, err := w.Commit(); !errors.Is(err, ErrSnapshotChecksum) {
				t.Fatalf("got %v", err)
			}
			w, err = files.Create(testRef("meta", 21))
			if err != nil {
				t.Fatal(err)
			}
			w.Abort()
			if refs, _ := files.List("meta"); len(refs) != 2 {
				t.Fatalf("%+v", refs)
			}
			if ref := putSnapshot(t, files, testRef("meta", 30), nil); ref.Size != 0 {
				t.Fatalf("%+v", ref)
			}
			if refs, _ := files.List("meta"); len(refs) != 2 {
				t.Fatalf("an empty snapshot has a file: %+v", refs)
			}
		})
	}
}

// TestSnapshotDirFindsEveryFlippedBit flips each bit of a file in turn.
func TestSnapshotDirFindsEveryFlippedBit(t *testing.T) {
	dir := t.TempDir()
	files, err := NewSnapshotDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	old := putSnapshot(t, files, testRef("meta", 10), testData(50))
	ref := putSnapshot(t, files, testRef("meta", 11), testData(40))
	path := files.(*snapshotDir).path(&ref)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := NewSnapshotDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var damage *DamageError
		if _, err := files.Open(ref); !errors.As(err, &damage) || damage.Index != 11 {
			t.Fatalf("%s: %v", what, err)
		}
		if refs, err := files.List("meta"); err != nil || len(refs) != 1 || refs[0].Index != old.Index {
			t.Fatalf("%s: the one before is not what is left: %+v, %v", what, refs, err)
		}
	}
	for i := range len(sound) * 8 {
		flipped := bytes.Clone(sound)
		flipped[i/8] ^= 1 << (i % 8)
		check("flipped", flipped)
	}
	check("cut", sound[:len(sound)-1])
	check("cut to nothing", nil)
	check("longer", append(bytes.Clone(sound), 0))
}

func TestSnapshotDirRemovesWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	files, err := NewSnapshotDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	w, err := files.Create(testRef("meta", 10))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(testData(1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := NewSnapshotDir(dir); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(left) != 0 {
		t.Fatalf("left %v, %v", left, err)
	}
}
