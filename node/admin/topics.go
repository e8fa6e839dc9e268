package admin

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/actors/partition"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

func (s *Server) listTopics(w http.ResponseWriter, r *http.Request) error {
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	list, err := query[*metadata.TopicList](r.Context(), s.group, &metadata.ListTopics{Prefix: p.prefix, After: p.after, Limit: p.limit}, p.stale)
	if err != nil {
		return err
	}
	out := client.Topics{Topics: []client.Topic{}, More: list.GetMore()}
	for _, t := range list.GetTopics() {
		out.Topics = append(out.Topics, topicOfView(t))
	}
	return s.answer(w, http.StatusOK, out)
}

func (s *Server) getTopic(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if err := metadata.ValidTopicName(name); err != nil {
		return err
	}
	stale, err := flag(r, "stale")
	if err != nil {
		return err
	}
	topic, err := query[*metadata.TopicView](r.Context(), s.group, &metadata.GetTopic{Name: name}, stale)
	if err != nil {
		return err
	}
	return s.answer(w, http.StatusOK, topicOfView(topic))
}

// appliedTopics returns every topic that this node's replica has applied.
func (s *Server) appliedTopics(ctx context.Context) ([]client.TopicStatus, error) {
	out := []client.TopicStatus{}
	for after := ""; ; {
		list, err := query[*metadata.TopicList](ctx, s.group, &metadata.ListTopics{After: after}, true)
		if err != nil {
			return nil, err
		}
		for _, t := range list.GetTopics() {
			topic := topicOfView(t)
			out = append(out, client.TopicStatus{Name: topic.Name, Partitions: topic.Partitions})
		}
		if !list.GetMore() || len(list.GetTopics()) == 0 {
			return out, nil
		}
		after = out[len(out)-1].Name
	}
}

func (s *Server) createTopic(w http.ResponseWriter, r *http.Request) error {
	var in client.CreateTopic
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := metadata.ValidTopicName(in.Name); err != nil {
		return err
	}
	if in.Partitions == 0 || in.Partitions > metadata.MaxPartitions {
		return invalid("partitions is %d, want 1 to %d", in.Partitions, metadata.MaxPartitions)
	}
	if in.ReplicationFactor > metadata.MaxReplicas {
		return invalid("replication_factor is %d, want at most %d, or 0 for the cluster's default", in.ReplicationFactor, metadata.MaxReplicas)
	}
	created, err := askRing[*partition.TopicCreated](r.Context(), s,
		&partition.CreateTopic{Name: in.Name, Partitions: in.Partitions, ReplicationFactor: in.ReplicationFactor})
	if err != nil {
		return err
	}
	s.log.Info("topic created", zap.String("topic", in.Name), zap.Uint32("partitions", in.Partitions), zap.String("client", r.RemoteAddr))
	w.Header().Set("Location", "/v1/topics/"+in.Name)
	return s.answer(w, http.StatusCreated, topicOf(created.GetTopic()))
}

func (s *Server) deleteTopic(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if err := metadata.ValidTopicName(name); err != nil {
		return err
	}
	if _, err := askRing[*partition.TopicDeleted](r.Context(), s, &partition.DeleteTopic{Name: name}); err != nil {
		return err
	}
	s.log.Info("topic deleted", zap.String("topic", name), zap.String("client", r.RemoteAddr))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// askRing asks the partition manager for a change, again while it knows no leader, which has no effect. A request that went
// unanswered is not sent again: it is not idempotent.
func askRing[T proto.Message](ctx context.Context, s *Server, message any) (T, error) {
	patience := time.Now().Add(s.group.patience)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		out, err := partition.Reply[T](live.Ask(ctx, s.cfg.System, s.cfg.PIDs.Ring, message))
		again := errors.Is(err, partition.ErrNoLeader) || errors.Is(err, partition.ErrBusy)
		if !again || time.Now().After(patience) || !sleep(ctx, pause) {
			return out, err
		}
	}
}

func topicOf(t *partition.Topic) client.Topic {
	out := client.Topic{
		Name: t.GetName(), ID: hex.EncodeToString(t.GetId()), ReplicationFactor: t.GetReplicationFactor(),
		Partitions: make([]client.Partition, 0, len(t.GetPartitions())),
	}
	for _, p := range t.GetPartitions() {
		out.Partitions = append(out.Partitions, partitionOf(p))
	}
	return out
}

func topicOfView(v *metadata.TopicView) client.Topic {
	out := client.Topic{
		Name: v.GetTopic().GetName(), ID: hex.EncodeToString(v.GetTopic().GetId()), ReplicationFactor: v.GetTopic().GetReplicationFactor(),
		Partitions: make([]client.Partition, 0, len(v.GetPartitions())),
	}
	for _, p := range v.GetPartitions() {
		out.Partitions = append(out.Partitions, partitionOf(p))
	}
	return out
}

// partitionOf reads what the record of the metadata and the message of the partition manager have in common.
func partitionOf(p interface {
	GetPartition() uint32
	GetLeader() uint64
	GetLeaderEpoch() uint64
	GetReplicas() []uint64
	GetIsr() []uint64
},
) client.Partition {
	return client.Partition{
		Partition: p.GetPartition(), Leader: p.GetLeader(), LeaderEpoch: p.GetLeaderEpoch(),
		Replicas: append([]uint64{}, p.GetReplicas()...), ISR: append([]uint64{}, p.GetIsr()...),
	}
}
