package remotesuite

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hupe1980/rivven-cluster/testkit/versus/runner"
)

const (
	rivven  = "rivven"
	grpc    = "grpc"
	grpcTLS = "grpc-tls"
	rawQUIC = "raw-quic"
	rawTLS  = "raw-tls"
)

const (
	modulePath = "github.com/hupe1980/rivven-cluster"
	quicModule = "github.com/quic-go/quic-go"
	actorPath  = "github.com/asynkron/protoactor-go"
	grpcModule = "google.golang.org/grpc"
)

// idlePeers is how many peers a node has in the case idle-peer.
const idlePeers = 16

// Suite returns the suite "remote".
func Suite() runner.Suite {
	return runner.Suite{Name: "remote", Process: process, Cases: cases(), Systems: []runner.System{
		{Name: rivven, Modules: []string{modulePath, actorPath, quicModule},
			Settings: "defaults; mutual TLS 1.3, Ed25519; class Bulk in bulk, the ping's type as class Control in control-under-bulk"},
		{Name: grpc, Modules: []string{actorPath, grpcModule},
			Settings: "defaults but grpc.MaxRecvMsgSize(64 MiB), since a batch of large messages is over gRPC's 4 MiB; no TLS"},
		{Name: grpcTLS, Modules: []string{actorPath, grpcModule},
			Settings: "as grpc, with mutual TLS 1.3 and the same certificates as rivven through WithServerOptions and WithDialOptions"},
		{Name: rawQUIC, Modules: []string{quicModule},
			Settings: "one stream, frames in writes of 32 KiB, windows of 6 MiB a stream and 24 MiB a connection from the start; a second connection for control"},
		{Name: rawTLS,
			Settings: "crypto/tls over TCP, one connection, frames in writes of 32 KiB; a second connection for control"},
	}}
}

func cases() []runner.Case {
	twice := []runner.Limit{{Against: grpc, AtLeast: 2}}
	return []runner.Case{
		{Name: "oneway/16B", Unit: "per second", Measure: all(), Limits: twice},
		{Name: "oneway/256B", Unit: "per second", Measure: all(), Limits: twice},
		{Name: "oneway/1KiB", Unit: "per second", Measure: all(), Limits: twice},
		{Name: "oneway/64KiB", Unit: "per second", Measure: all()},
		{Name: "rtt", Unit: "µs", Measure: all(), Limits: []runner.Limit{{Against: grpc, AtMost: 1.3}}},
		{Name: "rtt/1024", Unit: "per second", Measure: all()},
		{Name: "bulk", Unit: "MB/s", Measure: all(), Limits: []runner.Limit{{Against: rawQUIC, AtLeast: 0.8}}},
		{Name: "control-under-bulk", Unit: "ms", Measure: all(), Limits: []runner.Limit{{Against: rawQUIC, AtMost: 2}}},
		{Name: "idle-peer", Unit: "KB", Measure: all(), Limits: []runner.Limit{{AtMost: 512}}},
		{Name: "cpu/16B", Unit: "µs", Measure: all()},
	}
}

func all() map[string]runner.Measure {
	measures := make(map[string]runner.Measure)
	for _, system := range []string{rivven, grpc, grpcTLS, rawQUIC, rawTLS} {
		measures[system] = measure
	}
	return measures
}

// work is what a process is told to do.
type work struct {
	Role, System, Case string
	Certificates       string // folder
	For                time.Duration
	Peers              int
	Addresses          []string // of the servers, for the client
}

// result is what the client found.
type result struct {
	Value    float64
	P50, P99 time.Duration
	Messages int64         // that were sent while CPU was spent
	CPU      time.Duration // user and system time of the client
}

func measure(ctx context.Context, r runner.Round) (runner.Sample, error) {
	w := work{System: r.System, Case: r.Case, For: r.For, Peers: 1}
	if r.Case == "idle-peer" {
		w.Peers = idlePeers
	}
	folder, err := os.MkdirTemp("", "versus-remote-")
	if err != nil {
		return runner.Sample{}, err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // a folder of the system's own for such files
	if err := writeCertificates(folder, 1+w.Peers); err != nil {
		return runner.Sample{}, err
	}
	w.Certificates = folder
	res, server, err := pair(ctx, r, w)
	if err != nil {
		return runner.Sample{}, err
	}
	if strings.HasPrefix(r.Case, "cpu/") {
		res.Value = float64((res.CPU + server).Nanoseconds()) / 1000 / float64(res.Messages)
	}
	return runner.Sample{Value: res.Value, P50: res.P50, P99: res.P99}, nil
}

// pair runs a server and a client; it returns the client's result and the CPU time of the server meanwhile.
func pair(ctx context.Context, r runner.Round, w work) (res result, cpu time.Duration, err error) {
	w.Role = "server"
	server, err := start(ctx, r, w)
	if err != nil {
		return res, 0, err
	}
	defer server.Close() //nolint:errcheck // it did its part
	line, err := server.Line()
	if err != nil {
		return res, 0, fmt.Errorf("server: %w", err)
	}
	w.Role, w.Addresses = "client", strings.Fields(line)
	client, err := start(ctx, r, w)
	if err != nil {
		return res, 0, err
	}
	defer client.Close() //nolint:errcheck // it did its part
	for _, at := range []string{"begin", "end"} {
		if line, err = client.Line(); err != nil || line != at {
			return res, 0, fmt.Errorf("client: wanted %s, got %q: %w", at, line, err)
		}
		if line, err = server.Ask("cpu"); err != nil {
			return res, 0, fmt.Errorf("server: %w", err)
		}
		used, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			return res, 0, fmt.Errorf("server: %w", err)
		}
		cpu = time.Duration(used) - cpu
	}
	if line, err = client.Line(); err != nil {
		return res, 0, fmt.Errorf("client: %w", err)
	}
	return res, cpu, json.Unmarshal([]byte(line), &res)
}

func start(ctx context.Context, r runner.Round, w work) (*runner.Process, error) {
	text, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	return runner.Start(ctx, r, string(text))
}
