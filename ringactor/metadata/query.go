package metadata

import (
	"strings"

	"google.golang.org/protobuf/proto"
)

// Query answers a read. Errors are *consensus.Refusal.
func (s State) Query(request proto.Message) (proto.Message, error) {
	switch q := request.(type) {
	case *GetTopic:
		t := s.Topic(q.Name)
		if t == nil {
			return nil, refuse(ReasonNotFound, "topic %q does not exist", q.Name)
		}
		return s.view(t), nil
	case *ListTopics:
		return s.listTopics(q), nil
	case *ListNodes:
		list := &NodeList{}
		for n := range s.Nodes() {
			list.Nodes = append(list.Nodes, n)
		}
		return list, nil
	case *GetConfig:
		e := s.Config(q.Key)
		if e == nil {
			return nil, refuse(ReasonNotFound, "config key %q does not exist", q.Key)
		}
		return e, nil
	case *ListConfig:
		return s.listConfig(q), nil
	case *GetDigest:
		return &StateDigest{Digest: s.Digest()}, nil
	case *GetExport:
		return s.export(), nil
	}
	return nil, refuse(ReasonInvalid, "%T is no query of the metadata", request)
}

// An answer ends early behind this much; More says so.
const (
	maxPagePartitions = 20_000
	maxPageBytes      = 1 << 20
)

func page(limit uint32) int {
	if limit == 0 || limit > MaxPage {
		return MaxPage
	}
	return int(limit)
}

func (s State) listTopics(q *ListTopics) *TopicList {
	list, partitions := &TopicList{}, 0
	for key, t := range s.topics.from(name(max(q.Prefix, q.After))) {
		switch {
		case !strings.HasPrefix(string(key), q.Prefix):
			return list
		case string(key) <= q.After:
			continue
		case len(list.Topics) == page(q.Limit), partitions >= maxPagePartitions:
			list.More = true
			return list
		}
		list.Topics = append(list.Topics, s.view(t))
		partitions += int(t.Partitions)
	}
	return list
}

func (s State) listConfig(q *ListConfig) *ConfigList {
	list, bytes := &ConfigList{}, 0
	for key, e := range s.config.from(name(max(q.Prefix, q.After))) {
		switch {
		case !strings.HasPrefix(string(key), q.Prefix):
			return list
		case string(key) <= q.After:
			continue
		case len(list.Entries) == page(q.Limit), bytes >= maxPageBytes:
			list.More = true
			return list
		}
		list.Entries = append(list.Entries, e)
		bytes += len(e.Key) + len(e.Value)
	}
	return list
}

func (s State) export() *Export {
	e := &Export{Digest: s.Digest(), EpochFloor: s.epochFloor}
	for n := range s.Nodes() {
		e.Nodes = append(e.Nodes, n)
	}
	for t := range s.Topics() {
		e.Topics = append(e.Topics, t)
	}
	for p := range s.Partitions() {
		e.Partitions = append(e.Partitions, p)
	}
	for _, c := range s.config.all() {
		e.Config = append(e.Config, c)
	}
	return e
}
