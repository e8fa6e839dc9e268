package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/node/recovery"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

const (
	// backupStall is how long whoever reads a backup may take over one write.
	backupStall = 30 * time.Second
	// backupReopen is how often a snapshot that was replaced before it was opened is looked for again.
	backupReopen = 3
	applyPoll    = 5 * time.Millisecond
	// backupPrepare is how long the snapshots of all groups may take, backupWorkers of them at once.
	backupPrepare = 10 * time.Minute
	backupWorkers = 8
)

// getBackup streams the state of every group on this node, each at least as new as the request. What can be refused is refused before the
// first byte; what fails later cuts the connection, and the stream has no end.
func (s *Server) getBackup(w http.ResponseWriter, r *http.Request) error {
	groups := s.cfg.Store.Reader.Groups()
	if len(groups) == 0 {
		return &client.Error{Code: client.CodeUnavailable, Message: "this node has no state yet"}
	}
	control := http.NewResponseController(w)
	if err := control.SetWriteDeadline(time.Now().Add(backupPrepare + backupStall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if err := s.freshSnapshots(r.Context(), groups); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := &patientWriter{w: w, control: control}
	if err := s.writeBackup(out, groups); err != nil {
		s.log.Warn("backup ended early", zap.Error(err))
		panic(http.ErrAbortHandler)
	}
	return nil
}

// freshSnapshots takes a snapshot of every group, some at a time, and gives up at the first that fails.
func (s *Server) freshSnapshots(ctx context.Context, groups []string) error {
	ctx, cancel := context.WithTimeout(ctx, backupPrepare)
	defer cancel()
	queue := make(chan string, len(groups))
	for _, group := range groups {
		queue <- group
	}
	close(queue)
	failed := make(chan error, backupWorkers)
	var workers sync.WaitGroup
	for range min(len(groups), backupWorkers) {
		workers.Go(func() {
			for group := range queue {
				if err := s.freshSnapshot(ctx, group); err != nil {
					failed <- err
					cancel()
					return
				}
			}
		})
	}
	workers.Wait()
	select {
	case err := <-failed: // the first: those that follow are of its cancel
		return err
	default:
		return nil
	}
}

// freshSnapshot makes the group stand on a snapshot that holds all that was acknowledged before.
func (s *Server) freshSnapshot(ctx context.Context, group string) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	pid := s.raftPID(group)
	read, err := askGroup[*consensus.ReadIndexed](ctx, s, pid, &consensus.ReadIndex{})
	if err != nil {
		return groupError(group, err)
	}
	for {
		status, err := askGroup[*consensus.Status](ctx, s, pid, &consensus.GetStatus{})
		if err != nil {
			return groupError(group, err)
		}
		if status.GetApplied() >= read.GetIndex() {
			break
		}
		if !sleep(ctx, applyPoll) {
			return groupError(group, ctx.Err())
		}
	}
	taken, err := askGroup[*consensus.SnapshotTaken](ctx, s, pid, &consensus.TakeSnapshot{})
	if err == nil && taken.GetIndex() < read.GetIndex() {
		err = fmt.Errorf("its snapshot is of index %d, acknowledged is %d", taken.GetIndex(), read.GetIndex())
	}
	return groupError(group, err)
}

func askGroup[T any](ctx context.Context, s *Server, pid *actor.PID, message any) (T, error) {
	res, err := live.Ask(ctx, s.cfg.System, pid, message)
	var none T
	switch m := res.(type) {
	case T:
		return m, err
	case *consensus.Failed:
		return none, m.AsError()
	}
	if err == nil {
		err = fmt.Errorf("unexpected answer %T", res)
	}
	return none, err
}

// groupError names the group, and takes what was not answered for one that is not there or has no quorum: nothing was changed.
func groupError(group string, err error) error {
	if err == nil {
		return nil
	}
	out := failure(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		out.Code = client.CodeTimeout
	case out.Code == client.CodeInternal || out.Code == client.CodeUnknownOutcome:
		out.Code = client.CodeUnavailable
	}
	out.Message = fmt.Sprintf("group %s: %s", group, out.Message)
	return out
}

func (s *Server) raftPID(group string) *actor.PID {
	return actor.NewPID(s.cfg.PIDs.Meta.GetAddress(), actors.RaftName(group))
}

func (s *Server) writeBackup(out *patientWriter, groups []string) error {
	w, err := recovery.NewWriter(out, recovery.Head{
		ClusterID: s.cfg.Self.ClusterID(), ClusterName: s.cfg.Self.ClusterName, NodeID: s.cfg.Self.ID, Created: time.Now().UTC(),
	})
	if err != nil {
		return err
	}
	for _, group := range groups {
		if err := s.addSnapshot(w, group); err != nil {
			return err
		}
	}
	return w.Close()
}

// addSnapshot takes the newest snapshot: one may have taken the place of the one that the request made, and its file with it.
func (s *Server) addSnapshot(w *recovery.Writer, group string) error {
	for attempt := 1; ; attempt++ {
		ref := s.cfg.Store.Reader.State(group).Snapshot
		if ref == nil {
			return fmt.Errorf("group %s was removed", group)
		}
		if ref.Size == 0 {
			return w.Add(ref, http.NoBody)
		}
		data, err := s.cfg.Store.Files.Open(*ref)
		if errors.Is(err, logstore.ErrNoSnapshot) && attempt < backupReopen {
			continue
		}
		if err != nil {
			return err
		}
		return errors.Join(w.Add(ref, data), data.Close())
	}
}

// patientWriter gives the reader time for each write, not for all of them.
type patientWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (p *patientWriter) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(backupStall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.w.Write(b)
}
