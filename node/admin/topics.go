package admin

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/actors/partition"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

func (s *Server) listTopics(w http.ResponseWriter, r *http.Request) error {
	topics, err := askRing[*partition.Topics](r.Context(), s, &partition.ListTopics{}, false)
	if err != nil {
		return err
	}
	out := client.Topics{Topics: []client.Topic{}}
	for _, t := range topics.GetTopics() {
		out.Topics = append(out.Topics, topicOf(t))
	}
	slices.SortFunc(out.Topics, func(a, b client.Topic) int { return cmp.Compare(a.Name, b.Name) })
	return s.answer(w, http.StatusOK, out)
}

func (s *Server) getTopic(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if err := metadata.ValidTopicName(name); err != nil {
		return err
	}
	topic, err := askRing[*partition.Topic](r.Context(), s, &partition.DescribeTopic{Name: name}, false)
	if err != nil {
		return err
	}
	return s.answer(w, http.StatusOK, topicOf(topic))
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
		&partition.CreateTopic{Name: in.Name, Partitions: in.Partitions, ReplicationFactor: in.ReplicationFactor}, true)
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
	if _, err := askRing[*partition.TopicDeleted](r.Context(), s, &partition.DeleteTopic{Name: name}, true); err != nil {
		return err
	}
	s.log.Info("topic deleted", zap.String("topic", name), zap.String("client", r.RemoteAddr))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// askRing asks the partition manager, again while it knows no leader, which has no effect. A write that went unanswered is
// not sent again: it is not idempotent.
func askRing[T proto.Message](ctx context.Context, s *Server, message any, write bool) (T, error) {
	patience := time.Now().Add(s.group.patience)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		out, err := partition.Reply[T](live.Ask(ctx, s.cfg.System, s.cfg.PIDs.Ring, message))
		if !write && errors.Is(err, partition.ErrUnknownOutcome) {
			return out, &client.Error{Code: client.CodeTimeout, Message: "the partition manager did not answer in time: try again", Cause: err}
		}
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
		out.Partitions = append(out.Partitions, client.Partition{
			Partition: p.GetPartition(), Leader: p.GetLeader(), LeaderEpoch: p.GetLeaderEpoch(),
			Replicas: append([]uint64{}, p.GetReplicas()...), ISR: append([]uint64{}, p.GetIsr()...),
		})
	}
	slices.SortFunc(out.Partitions, func(a, b client.Partition) int { return cmp.Compare(a.Partition, b.Partition) })
	return out
}
