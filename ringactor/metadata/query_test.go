package metadata

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

func query[T proto.Message](t *testing.T, s State, q proto.Message) T {
	t.Helper()
	answer, err := s.Query(q)
	if err != nil {
		t.Fatalf("%T: %v", q, err)
	}
	return answer.(T)
}

func TestQueries(t *testing.T) {
	w := newWorld(t, 3)
	w.must(orders())
	for i := range 25 {
		w.must(&SetConfig{Key: fmt.Sprintf("app/%02d", i), Value: []byte{byte(i)}})
	}
	w.must(&SetConfig{Key: "apple"})
	w.must(&SetConfig{Key: "aardvark"})

	if got := query[*TopicView](t, w.state, &GetTopic{Name: "orders"}); len(got.Partitions) != 2 {
		t.Errorf("topic %v", got)
	}
	if got := query[*NodeList](t, w.state, &ListNodes{}); len(got.Nodes) != 3 || got.Nodes[0].NodeId != 1 {
		t.Errorf("nodes %v", got)
	}
	if got := query[*ConfigEntry](t, w.state, &GetConfig{Key: "app/07"}); got.Value[0] != 7 {
		t.Errorf("entry %v", got)
	}
	if got := query[*StateDigest](t, w.state, &GetDigest{}); got.Digest != w.state.Digest() {
		t.Errorf("digest %v", got)
	}
	var keys []string
	q := &ListConfig{Prefix: "app/", Limit: 10}
	for pages := 1; ; pages++ {
		list := query[*ConfigList](t, w.state, q)
		for _, e := range list.Entries {
			keys = append(keys, e.Key)
		}
		if !list.More {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		q.After = keys[len(keys)-1]
	}
	if len(keys) != 25 || keys[0] != "app/00" || keys[24] != "app/24" {
		t.Errorf("keys %v", keys)
	}
	for _, q := range []proto.Message{&GetTopic{Name: "none"}, &GetConfig{Key: "none"}, &Noop{}} {
		var refusal *consensus.Refusal
		if _, err := w.state.Query(q); !errors.As(err, &refusal) {
			t.Errorf("%T: %v", q, err)
		}
	}
}

func TestListsAreBounded(t *testing.T) {
	w := newWorld(t, 1)
	for i := range 20 {
		w.must(&SetConfig{Key: fmt.Sprintf("%02d", i), Value: make([]byte, MaxConfigValue)})
	}
	if list := query[*ConfigList](t, w.state, &ListConfig{}); len(list.Entries) != 16 || !list.More {
		t.Errorf("%d entries in one answer, more %t", len(list.Entries), list.More)
	}
	for i := range 3 {
		c := &CreateTopic{Name: fmt.Sprintf("t%d", i), Id: topicID(9), ReplicationFactor: 1, MinIsr: 1}
		for p := range uint32(15_000) {
			c.Assignments = append(c.Assignments, &Assignment{Partition: p, Replicas: []uint64{1}, Leader: 1})
		}
		w.must(c)
	}
	list := query[*TopicList](t, w.state, &ListTopics{Prefix: "t"})
	if len(list.Topics) != 2 || !list.More {
		t.Errorf("%d topics in one answer, more %t", len(list.Topics), list.More)
	}
	if rest := query[*TopicList](t, w.state, &ListTopics{Prefix: "t", After: "t1"}); len(rest.Topics) != 1 || rest.More {
		t.Errorf("%d topics in the second answer, more %t", len(rest.Topics), rest.More)
	}
}
