package node_test

import (
	"fmt"

	"github.com/hupe1980/rivven-cluster/node"
)

func ExampleParseConfig() {
	_, err := node.ParseConfig("cluster.yaml", []byte(`cluster:
  node_id: 1
  raft:
    electoin_timeout_min_ms: 150
`), "RIVVEN_LOG_LEVEL=loud")
	fmt.Println(err)
	// Output:
	// cluster.yaml:4:5: unknown key "electoin_timeout_min_ms" in "cluster.raft"; did you mean "election_timeout_min_ms"?
	//     4 |     electoin_timeout_min_ms: 150
	//       |     ^
	// RIVVEN_LOG_LEVEL: "loud" is not one of debug, info, warn, error
}
