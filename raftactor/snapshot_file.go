package raftactor

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// A snapshot file is: magic with the format's version, length of the session table, the session table, the machine's own data.
const (
	snapshotMagic   = "rvsnap01"
	sessionTableMax = 256 << 20
)

// snapshotData is written out while later entries are applied; it holds what the state was.
type snapshotData struct {
	sessions *SessionTable
	machine  io.WriterTo
}

func (d *snapshotData) WriteTo(w io.Writer) (int64, error) {
	table, err := proto.MarshalOptions{Deterministic: true}.Marshal(d.sessions)
	if err != nil {
		return 0, err
	}
	head := append([]byte(snapshotMagic), binary.BigEndian.AppendUint32(nil, uint32(len(table)))...)
	n, err := w.Write(append(head, table...))
	if err != nil {
		return int64(n), err
	}
	m, err := d.machine.WriteTo(w)
	return int64(n) + m, err
}

func (a *applier) capture(ctx actor.Context) {
	out := &captured{run: run(a.instance), index: a.index, term: a.term}
	defer func() {
		if p := recover(); p != nil {
			out.data, out.err = nil, fmt.Errorf("Snapshot panicked: %v", p)
		}
		ctx.Send(ctx.Parent(), out)
	}()
	data, err := a.machine.Snapshot()
	if err != nil {
		out.err = err
		return
	}
	out.data = &snapshotData{sessions: a.sessions.encode(), machine: data}
}

// read restores sessions and machine from a file.
func (a *applier) read(ref *logstore.SnapshotRef) (err error) {
	in, err := a.files.Open(*ref)
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("Restore panicked: %v", p)
		}
		if cerr := in.Close(); err == nil {
			err = cerr
		}
	}()
	head := make([]byte, len(snapshotMagic)+4)
	if _, err := io.ReadFull(in, head); err != nil {
		return fmt.Errorf("head: %w", err)
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return fmt.Errorf("format %q, this version knows %q", head[:len(snapshotMagic)], snapshotMagic)
	}
	size := binary.BigEndian.Uint32(head[len(snapshotMagic):])
	if size > sessionTableMax || uint64(size) > ref.Size {
		return fmt.Errorf("session table of %d bytes in a file of %d", size, ref.Size)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(in, data); err != nil {
		return fmt.Errorf("session table: %w", err)
	}
	table := &SessionTable{}
	if err := proto.Unmarshal(data, table); err != nil {
		return fmt.Errorf("session table: %w", err)
	}
	a.sessions = decodeSessions(table)
	return a.machine.Restore(in)
}
