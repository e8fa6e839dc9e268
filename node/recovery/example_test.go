package recovery_test

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/hupe1980/rivven-cluster/node/recovery"
	"github.com/hupe1980/rivven-cluster/raftactor"
)

// A backup of one group, written and looked into. A node's admin API does the first half, rivven-node backup inspect the second.
func Example() {
	var file bytes.Buffer
	w, err := recovery.NewWriter(&file, recovery.Head{ClusterID: "c0ffee", NodeID: 1, Created: time.Unix(0, 0).UTC()})
	if err != nil {
		fmt.Println(err)
		return
	}
	first := raftactor.InitialWrite("meta", []raftactor.Peer{{NodeID: 1, Replica: 11, Address: "node1:9093"}}).Snapshot
	fmt.Println(w.Add(first, strings.NewReader("")), w.Close())

	summary, err := recovery.Inspect(bytes.NewReader(file.Bytes()))
	fmt.Println(summary.ClusterID, summary.Groups[0].Group, summary.Groups[0].Index, err)

	_, err = recovery.Inspect(bytes.NewReader(file.Bytes()[:file.Len()-1]))
	fmt.Println(err)
	// Output:
	// <nil> <nil>
	// c0ffee meta 1 <nil>
	// backup is damaged: frame 3: it is cut off: unexpected EOF
}
