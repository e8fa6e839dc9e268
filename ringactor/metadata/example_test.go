package metadata_test

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

func Example() {
	machine := metadata.New()
	for index, command := range []proto.Message{
		&metadata.SetConfig{Key: "app/limit", Value: []byte("42")},
		&metadata.SetConfig{Key: "app/limit", Value: []byte("43"), ExpectedRevision: proto.Uint64(1)},
		&metadata.SetConfig{Key: "app/limit", Value: []byte("44"), ExpectedRevision: proto.Uint64(1)},
	} {
		if _, err := machine.Apply(consensus.Entry{Index: uint64(index + 1), Command: command}); err != nil {
			fmt.Println("refused:", err)
		}
	}
	answer, err := machine.Query(&metadata.GetConfig{Key: "app/limit"})
	if err != nil {
		fmt.Println(err)
		return
	}
	entry := answer.(*metadata.ConfigEntry)
	fmt.Printf("%s at revision %d\n", entry.Value, entry.Revision)
	// Output:
	// refused: config key "app/limit" has revision 2, expected was 1: read it again
	// 43 at revision 2
}
