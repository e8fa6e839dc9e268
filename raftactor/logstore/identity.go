package logstore

import "fmt"

// admits says whether next may replace id at the first start: the same disk and process, and a cluster for the first time.
func (id Identity) admits(next Identity) error {
	switch {
	case id.ClusterID != "":
		return fmt.Errorf("%w: it belongs to cluster %s and can't join %s", ErrForeign, id.ClusterID, next.ClusterID)
	case next.DirectoryID != id.DirectoryID || next.NodeID != id.NodeID || next.Generation != id.Generation:
		return fmt.Errorf("%w: it is directory %s of node %d, generation %d; not directory %s of node %d, generation %d",
			ErrForeign, id.DirectoryID, id.NodeID, id.Generation, next.DirectoryID, next.NodeID, next.Generation)
	case next.ClusterID == "":
		return fmt.Errorf("%w: the cluster id is missing", ErrForeign)
	}
	return nil
}
