package recovery

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

const planFormat = 1

// maxPlan bounds a plan that is read, in bytes.
const maxPlan = 64 << 20

// Plan is the first step of a recovery from quorum loss: what one survivor has, and what would be made of it. It is for people to read, and
// for [Plan.Apply] to hold the data directory against.
type Plan struct {
	Format      int         `json:"format"`
	Created     time.Time   `json:"created"`
	NodeID      uint64      `json:"node_id"`
	DirectoryID string      `json:"directory_id"`
	ClusterID   string      `json:"cluster_id"`
	Groups      []GroupPlan `json:"groups"`
	// State is a hash of all that the plan was made from; another one means that the node ran since.
	State string `json:"state"`
}

// GroupPlan is one group's replica on the survivor. All its entries are kept, also those that were not yet known to be committed: an
// acknowledged write may be among them.
type GroupPlan struct {
	Group string `json:"group"`
	Term  uint64 `json:"term"` // of the hard state
	// LastTerm and LastIndex are where its log ends: of several survivors, the one where they are highest has the most.
	LastTerm  uint64 `json:"last_term"`
	LastIndex uint64 `json:"last_index"`
	Commit    uint64 `json:"commit"`
	// Snapshot is the index that the new group begins at, and Entries how many of the log follow it.
	Snapshot uint64   `json:"snapshot"`
	Entries  uint64   `json:"entries"`
	Voters   []Member `json:"voters"`   // at the snapshot
	Learners []Member `json:"learners"` // at the snapshot
	// Problem, where set, is why this replica can't be recovered: look for a survivor that has the group whole, or give it up
	// ([Target.GiveUp]).
	Problem string `json:"problem,omitempty"`
}

// ErrChanged: the data directory is not as it was when the plan was made.
var ErrChanged = errors.New("the data directory changed since the plan was made")

// ErrBehind: another survivor has more.
var ErrBehind = errors.New("another survivor has more")

// ErrUnusable: nothing of a replica can be used.
var ErrUnusable = errors.New("the replica can't be recovered")

// MakePlan reads the data directory of a node that doesn't run. Nothing of the node's state changes.
func MakePlan(dir string, nodeID uint64, now time.Time) (plan *Plan, err error) {
	s, err := openSurvivor(dir, nodeID, now)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.store.Close()) }()
	return s.plan(now)
}

// survivor is the open data directory of a node that doesn't run.
type survivor struct {
	store logstore.Store
	files logstore.SnapshotFiles
}

func openSurvivor(dir string, nodeID uint64, now time.Time) (*survivor, error) {
	if err := Pending(dir); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, logstore.DatabaseFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no node's state in %s", ErrUnusable, dir)
	}
	store, err := logstore.OpenBolt(dir, logstore.BoltOptions{NodeID: nodeID, NowMs: uint64(now.UnixMilli())})
	if err != nil {
		return nil, err
	}
	files, err := logstore.NewSnapshotDir(filepath.Join(dir, SnapshotsDirectory))
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &survivor{store, files}, nil
}

func (s *survivor) plan(now time.Time) (*Plan, error) {
	id := s.store.Identity()
	if id.ClusterID == "" {
		return nil, fmt.Errorf("%w: node %d never belonged to a cluster", ErrUnusable, id.NodeID)
	}
	p := &Plan{Format: planFormat, Created: now.UTC(), NodeID: id.NodeID, DirectoryID: id.DirectoryID.String(), ClusterID: id.ClusterID, Groups: []GroupPlan{}}
	state := sha256.New()
	_, _ = fmt.Fprintf(state, "%s %s", p.DirectoryID, p.ClusterID)
	for _, group := range s.store.Groups() {
		g := s.group(group)
		p.Groups = append(p.Groups, g)
		b, err := json.Marshal(g)
		if err != nil {
			return nil, err
		}
		_, _ = state.Write(b)
	}
	p.State = hex.EncodeToString(state.Sum(nil))
	return p, nil
}

// group looks at all of a replica that would be used. What is wrong with it is its Problem, and no other group's.
func (s *survivor) group(group string) GroupPlan {
	gs := s.store.State(group)
	g := GroupPlan{Group: group, Term: gs.HardState.GetTerm(), Commit: gs.HardState.GetCommit(), LastIndex: gs.LastIndex, Voters: []Member{}, Learners: []Member{}}
	base, problem := s.base(group, gs)
	if problem == "" {
		problem = s.unreadable(base, gs.LastIndex)
	}
	last, err := s.store.Term(group, gs.LastIndex)
	if err != nil && problem == "" {
		problem = err.Error()
	}
	g.LastTerm = last
	if g.Problem = problem; problem != "" {
		return g
	}
	voters, learners, err := raftactor.Members(base)
	if err != nil {
		g.Problem = err.Error()
		return g
	}
	g.Snapshot, g.Entries, g.Voters, g.Learners = base.Index, gs.LastIndex-base.Index, members(voters), members(learners)
	return g
}

// unreadable says which entry behind the snapshot can't be read, if there is one.
func (s *survivor) unreadable(base *logstore.SnapshotRef, last uint64) string {
	for next := base.Index + 1; next <= last; {
		entries, err := s.store.Entries(base.Group, next, last+1, entriesAtOnce)
		if err != nil {
			return fmt.Sprintf("its log can't be read from index %d on: %v", next, err)
		}
		next += uint64(len(entries))
	}
	return ""
}

// base is the newest snapshot that is whole and that the log goes on from: the one that the log stands on, or one before it.
func (s *survivor) base(group string, state logstore.GroupState) (*logstore.SnapshotRef, string) {
	if state.Snapshot == nil {
		return nil, "it never got the group's state"
	}
	if state.Snapshot.Size == 0 {
		return state.Snapshot, ""
	}
	f, err := s.files.Open(*state.Snapshot)
	if err == nil {
		return state.Snapshot, closeProblem(f)
	}
	refs, listErr := s.files.List(group)
	if listErr != nil {
		return nil, listErr.Error()
	}
	for _, ref := range refs {
		if ref.Index < state.Snapshot.Index && ref.Index+1 >= state.FirstIndex && ref.ConfState != nil {
			return &ref, ""
		}
	}
	return nil, fmt.Sprintf("its snapshot can't be read, and no earlier one that the log goes on from is there: %v", err)
}

func closeProblem(c io.Closer) string {
	if err := c.Close(); err != nil {
		return err.Error()
	}
	return ""
}

// Behind says in which groups another survivor's plan has more than this one, and is nil where in none.
func (p *Plan) Behind(other *Plan) error {
	if other.ClusterID != p.ClusterID {
		return fmt.Errorf("the plans of nodes %d and %d are of different clusters, %s and %s", p.NodeID, other.NodeID, p.ClusterID, other.ClusterID)
	}
	var faults []error
	for _, o := range other.Groups {
		if o.Problem != "" {
			continue
		}
		mine, ok := p.group(o.Group)
		switch {
		case !ok || mine.Problem != "":
			faults = append(faults, fmt.Errorf("%w: node %d has group %q, node %d has not", ErrBehind, other.NodeID, o.Group, p.NodeID))
		case o.LastTerm > mine.LastTerm || o.LastTerm == mine.LastTerm && o.LastIndex > mine.LastIndex:
			faults = append(faults, fmt.Errorf("%w: the log of group %q ends at term %d, index %d on node %d, and at %d, %d on node %d",
				ErrBehind, o.Group, o.LastTerm, o.LastIndex, other.NodeID, mine.LastTerm, mine.LastIndex, p.NodeID))
		}
	}
	return errors.Join(faults...)
}

func (p *Plan) group(name string) (GroupPlan, bool) {
	for _, g := range p.Groups {
		if g.Group == name {
			return g, true
		}
	}
	return GroupPlan{}, false
}

// Write writes a plan as JSON.
func (p *Plan) Write(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(p)
}

// ReadPlan reads what Write wrote.
func ReadPlan(in io.Reader) (*Plan, error) {
	b, err := io.ReadAll(io.LimitReader(in, maxPlan+1))
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	if len(b) > maxPlan {
		return nil, fmt.Errorf("the plan has more than %d bytes", maxPlan)
	}
	p := &Plan{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	if p.Format != planFormat {
		return nil, fmt.Errorf("%w: plan format %d, this version reads %d", ErrNewerFormat, p.Format, planFormat)
	}
	return p, nil
}
