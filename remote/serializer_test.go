package remote

import (
	"bytes"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors/membership"
)

func TestMapsAreEncodedInOneOrder(t *testing.T) {
	message := &membership.UpdateTags{Tags: make(map[string]string)}
	for i := range 8 {
		message.Tags["tag-"+strconv.Itoa(i)] = "value"
	}
	var first []byte
	for range 20 {
		encoded, err := appendMessage(nil, message, proto.Size(message), shapeOf(message.ProtoReflect().Descriptor()))
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = encoded
		}
		if !bytes.Equal(encoded, first) {
			t.Fatalf("%q and %q", first, encoded)
		}
	}
}
