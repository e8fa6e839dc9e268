package admin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/actors/partition"
	"github.com/hupe1980/rivven-cluster/node/admin"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

type object = map[string]any

type spec struct{ root object }

func loadSpec(t *testing.T) spec {
	t.Helper()
	b, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var root object
	if err := yaml.Unmarshal(b, &root); err != nil {
		t.Fatal(err)
	}
	return spec{root}
}

// resolve follows a $ref.
func (s spec) resolve(v any) object {
	o, _ := v.(object)
	ref, ok := o["$ref"].(string)
	if !ok {
		return o
	}
	var at any = s.root
	for step := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		at = at.(object)[step]
	}
	return s.resolve(at)
}

// operations lists "METHOD /path" of the document.
func (s spec) operations() map[string]object {
	out := map[string]object{}
	for path, item := range s.root["paths"].(object) {
		for method, op := range item.(object) {
			if slices.Contains([]string{"get", "put", "post", "delete"}, method) {
				out[strings.ToUpper(method)+" "+path] = op.(object)
			}
		}
	}
	return out
}

// check validates a value of JSON against a schema; it knows what this document uses.
func (s spec) check(schema object, value any, at string) error {
	schema = s.resolve(schema)
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, value) {
		return fmt.Errorf("%s is %v, want one of %v", at, value, enum)
	}
	switch kind := schema["type"]; kind {
	case "object":
		o, ok := value.(object)
		if !ok {
			return fmt.Errorf("%s is %T, want an object", at, value)
		}
		properties, _ := schema["properties"].(object)
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := o[name.(string)]; !ok {
				return fmt.Errorf("%s has no %s", at, name)
			}
		}
		for name, v := range o {
			property, known := properties[name]
			if !known {
				if property, known = schema["additionalProperties"].(object); !known {
					return fmt.Errorf("%s.%s is not in the document", at, name)
				}
			}
			if err := s.check(property.(object), v, at+"."+name); err != nil {
				return err
			}
		}
	case "array":
		list, ok := value.([]any)
		if !ok {
			return fmt.Errorf("%s is %T, want an array", at, value)
		}
		for i, v := range list {
			if err := s.check(schema["items"].(object), v, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case "integer":
		n, ok := value.(json.Number)
		if !ok || strings.ContainsAny(string(n), ".eE") {
			return fmt.Errorf("%s is %v, want an integer", at, value)
		}
	default:
		want := map[any]string{"string": "string", "boolean": "bool"}[kind]
		if got := fmt.Sprintf("%T", value); got != want {
			return fmt.Errorf("%s is %s, want %v", at, got, kind)
		}
	}
	return nil
}

// answer validates one answer and returns its body.
func (s spec) answer(operation object, status int, body string) error {
	documented, ok := operation["responses"].(object)[fmt.Sprint(status)]
	if !ok {
		return fmt.Errorf("status %d is not in the document: %s", status, body)
	}
	content, _ := s.resolve(documented)["content"].(object)
	media, isJSON := content["application/json"].(object)
	if !isJSON {
		if len(content) == 0 && body != "" {
			return fmt.Errorf("status %d has a body: %s", status, body)
		}
		return nil
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return fmt.Errorf("status %d: %w: %s", status, err, body)
	}
	if err := s.check(media["schema"].(object), value, "body"); err != nil {
		return fmt.Errorf("status %d: %w", status, err)
	}
	return nil
}

// Faults of the world, each for one exchange.
var (
	mute    = func(any) any { return silence{} }
	closing = func(m any) any {
		switch m.(type) {
		case *consensus.Propose, *consensus.Query, *consensus.OpenSession:
			return consensus.NewFailed(consensus.Code_CODE_SHUTTING_DOWN, "", nil)
		case *partition.CreateTopic, *partition.DeleteTopic:
			return &partition.Refused{Code: partition.Code_CODE_UNAVAILABLE, Message: "the metadata is not read yet"}
		}
		return nil
	}
	// A write that is not answered is one whose outcome is unknown; its session was opened before.
	muteChanges = func(m any) any {
		switch m.(type) {
		case *consensus.Propose, *consensus.Query, *partition.CreateTopic, *partition.DeleteTopic:
			return silence{}
		}
		return nil
	}
)

// leading is a leader that hears nothing of node 2.
func leading(m any) any {
	if _, ok := m.(*consensus.GetStatus); !ok {
		return nil
	}
	voters := []*consensus.Peer{{NodeId: 1, Replica: 10}, {NodeId: 2, Replica: 20}}
	return &consensus.Status{Self: voters[0], Role: consensus.Role_ROLE_LEADER, Term: 7, Leader: voters[0], Voters: voters, LastIndex: 9, Progress: []*consensus.Progress{
		{Peer: voters[0], Match: 9, RecentActive: true}, {Peer: voters[1], Match: 4, LagEntries: 5, LagMs: 70},
	}}
}

func halted(any) any {
	return consensus.NewFailed(consensus.Code_CODE_HALTED, "damage at index 7", nil)
}

type exchange struct {
	operation string
	path      string // where it differs from the operation's
	body      string
	header    map[string]string
	fault     func(any) any
	want      int
	code      client.Code // of an answer that is an error
}

var exchanges = []exchange{
	{operation: "GET /livez", want: 200},
	{operation: "GET /readyz", want: 200},
	{operation: "GET /readyz", path: "/readyz?verbose", want: 200},
	{operation: "GET /readyz", path: "/readyz?verbose=perhaps", want: 400, code: client.CodeInvalid},
	{operation: "GET /metrics", want: 200},
	{operation: "GET /v1/status", want: 200},
	{operation: "GET /v1/status", fault: mute, want: 503, code: client.CodeUnavailable},
	{operation: "GET /v1/status", fault: muteChanges, want: 504, code: client.CodeTimeout},
	{operation: "GET /v1/members", want: 200},
	{operation: "GET /v1/members", fault: mute, want: 503, code: client.CodeUnavailable},
	{operation: "GET /v1/peers", want: 200},
	{operation: "GET /v1/peers", fault: mute, want: 503, code: client.CodeUnavailable},

	{operation: "GET /v1/topics", want: 200},
	{operation: "GET /v1/topics", path: "/v1/topics?limit=-1", want: 400, code: client.CodeInvalid},
	{operation: "GET /v1/topics", fault: closing, want: 503, code: client.CodeShuttingDown},
	{operation: "GET /v1/topics", fault: muteChanges, want: 504, code: client.CodeTimeout},
	{operation: "POST /v1/topics", body: `{"name":"orders","partitions":1}`, want: 201},
	{operation: "POST /v1/topics", body: `{"name":"orders","partitions":1}`, want: 409, code: client.CodeAlreadyExists},
	{operation: "POST /v1/topics", body: `{"name":"o/o","partitions":1}`, want: 400, code: client.CodeInvalid},
	{operation: "POST /v1/topics", body: `{"name":"o","partitions":0}`, want: 400, code: client.CodeInvalid},
	{operation: "POST /v1/topics", body: `{"name":"o","partitions":1,"replication_factor":99}`, want: 400, code: client.CodeInvalid},
	{operation: "POST /v1/topics", body: `{"name":"o","partitions":1,"replicas":3}`, want: 400, code: client.CodeInvalid},
	{operation: "POST /v1/topics", body: `{"name":"o","partitions":1} {}`, want: 400, code: client.CodeInvalid},
	{operation: "POST /v1/topics", body: `{`, want: 400, code: client.CodeInvalid},
	{operation: "POST /v1/topics", body: strings.Repeat(" ", 500_000), want: 413, code: client.CodeTooLarge},
	{operation: "POST /v1/topics", body: `{}`, header: map[string]string{"Content-Type": "text/plain"}, want: 415, code: client.CodeMediaType},
	{operation: "POST /v1/topics", body: `{"name":"o","partitions":1}`, fault: func(any) any {
		return &partition.Refused{Code: partition.Code_CODE_NOT_ENOUGH_NODES, Message: "too few"}
	}, want: 422, code: client.CodeNotEnoughNodes},
	{operation: "POST /v1/topics", body: `{"name":"o","partitions":1}`, fault: closing, want: 503, code: client.CodeUnavailable},
	{operation: "POST /v1/topics", body: `{"name":"o","partitions":1}`, fault: muteChanges, want: 504, code: client.CodeUnknownOutcome},
	{operation: "GET /v1/topics/{name}", path: "/v1/topics/demo", want: 200},
	{operation: "GET /v1/topics/{name}", path: "/v1/topics/a%20b", want: 400, code: client.CodeInvalid},
	{operation: "GET /v1/topics/{name}", path: "/v1/topics/nil", want: 404, code: client.CodeNotFound},
	{operation: "GET /v1/topics/{name}", path: "/v1/topics/demo", fault: closing, want: 503, code: client.CodeShuttingDown},
	{operation: "GET /v1/topics/{name}", path: "/v1/topics/demo", fault: muteChanges, want: 504, code: client.CodeTimeout},
	{operation: "DELETE /v1/topics/{name}", path: "/v1/topics/%FF", want: 400, code: client.CodeInvalid},
	{operation: "DELETE /v1/topics/{name}", path: "/v1/topics/demo", fault: closing, want: 503, code: client.CodeUnavailable},
	{operation: "DELETE /v1/topics/{name}", path: "/v1/topics/demo", fault: muteChanges, want: 504, code: client.CodeUnknownOutcome},
	{operation: "DELETE /v1/topics/{name}", path: "/v1/topics/demo", want: 204},
	{operation: "DELETE /v1/topics/{name}", path: "/v1/topics/demo", want: 404, code: client.CodeNotFound},

	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `{"value":"x"}`, want: 200},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `{"value":"x","value_base64":""}`, want: 400, code: client.CodeInvalid},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `{"value":"x","revison":1}`, want: 400, code: client.CodeInvalid},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: "{\"value\":\"\xff\"}", want: 400, code: client.CodeInvalid},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/", body: `{"value":"x"}`, want: 400, code: client.CodeInvalid},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/%FF", body: `{"value":"x"}`, want: 400, code: client.CodeInvalid},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `{"value":"x","revision":999}`, want: 412, code: client.CodeRevisionMismatch},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `{"value":"x"}`, header: map[string]string{"If-None-Match": "*"}, want: 412, code: client.CodeRevisionMismatch},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `{"value":"x"}`, header: map[string]string{"If-Match": `"999"`}, want: 412, code: client.CodeRevisionMismatch},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `{"value":"x"}`, header: map[string]string{"If-Match": `9`}, want: 400, code: client.CodeInvalid},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `{"value":"x"}`, header: map[string]string{"If-None-Match": `"9"`}, want: 400, code: client.CodeInvalid},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `{"value":"x","revision":1}`, header: map[string]string{"If-Match": `"1"`}, want: 400, code: client.CodeInvalid},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `{"value":"` + strings.Repeat("x", 64<<10+1) + `"}`, want: 413, code: client.CodeTooLarge},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `x`, header: map[string]string{"Content-Type": "text/plain"}, want: 415, code: client.CodeMediaType},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `{"value":"x"}`, fault: func(m any) any {
		if _, ok := m.(*consensus.Propose); ok {
			return &consensus.Failed{Code: consensus.Code_CODE_REFUSED, Message: "full", Reason: metadata.ReasonLimit}
		}
		return nil
	}, want: 422, code: client.CodeLimitExceeded},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `{"value":"x"}`, fault: closing, want: 503, code: client.CodeShuttingDown},
	{operation: "PUT /v1/config/{key}", path: "/v1/config/a/b", body: `{"value":"x"}`, fault: muteChanges, want: 504, code: client.CodeUnknownOutcome},
	{operation: "GET /v1/config/{key}", path: "/v1/config/a/b", want: 200},
	{operation: "GET /v1/config/{key}", path: "/v1/config/a/b?stale", want: 200},
	{operation: "GET /v1/config/{key}", path: "/v1/config/a/b?stale=maybe", want: 400, code: client.CodeInvalid},
	{operation: "GET /v1/config/{key}", path: "/v1/config/nil", want: 404, code: client.CodeNotFound},
	{operation: "GET /v1/config/{key}", path: "/v1/config/a/b", fault: closing, want: 503, code: client.CodeShuttingDown},
	{operation: "GET /v1/config/{key}", path: "/v1/config/a/b", fault: muteChanges, want: 504, code: client.CodeTimeout},
	{operation: "GET /v1/config", path: "/v1/config?prefix=a/", want: 200},
	{operation: "GET /v1/config", path: "/v1/config?prefix=%FF", want: 400, code: client.CodeInvalid},
	{operation: "GET /v1/config", fault: closing, want: 503, code: client.CodeShuttingDown},
	{operation: "GET /v1/config", fault: muteChanges, want: 504, code: client.CodeTimeout},
	{operation: "DELETE /v1/config/{key}", path: "/v1/config/a/b?revision=x", want: 400, code: client.CodeInvalid},
	{operation: "DELETE /v1/config/{key}", path: "/v1/config/a/b?revision=999", want: 412, code: client.CodeRevisionMismatch},
	{operation: "DELETE /v1/config/{key}", path: "/v1/config/a/b", fault: closing, want: 503, code: client.CodeShuttingDown},
	{operation: "DELETE /v1/config/{key}", path: "/v1/config/a/b", fault: muteChanges, want: 504, code: client.CodeUnknownOutcome},
	{operation: "DELETE /v1/config/{key}", path: "/v1/config/a/b", want: 200},
	{operation: "DELETE /v1/config/{key}", path: "/v1/config/a/b", want: 200},

	{operation: "GET /v1/raft", want: 200},
	{operation: "GET /v1/raft", fault: mute, want: 503, code: client.CodeUnavailable},
	{operation: "GET /v1/raft/{group}", path: "/v1/raft/meta", want: 200},
	{operation: "GET /v1/raft/{group}", path: "/v1/raft/meta", fault: leading, want: 200},
	{operation: "GET /v1/raft/{group}", path: "/v1/raft/nil", want: 404, code: client.CodeNotFound},
	{operation: "GET /v1/raft/{group}", path: "/v1/raft/meta", fault: mute, want: 503, code: client.CodeUnavailable},
	{operation: "POST /v1/raft/{group}/members", path: "/v1/raft/meta/members?change=demote&node=1", want: 200},
	{operation: "POST /v1/raft/{group}/members", path: "/v1/raft/meta/members?change=demote&node=1&replica=10", want: 200},
	{operation: "POST /v1/raft/{group}/members", path: "/v1/raft/meta/members?change=demote&node=1&replica=11", want: 400, code: client.CodeInvalid},
	{operation: "POST /v1/raft/{group}/members", path: "/v1/raft/meta/members?change=promote&node=1", want: 400, code: client.CodeInvalid},
	{operation: "POST /v1/raft/{group}/members", path: "/v1/raft/meta/members?change=add-learner&node=4", want: 400, code: client.CodeInvalid},
	{operation: "POST /v1/raft/{group}/members", path: "/v1/raft/meta/members?change=exile&node=1", want: 400, code: client.CodeInvalid},
	{operation: "POST /v1/raft/{group}/members", path: "/v1/raft/meta/members?change=remove&node=0", want: 400, code: client.CodeInvalid},
	{operation: "POST /v1/raft/{group}/members", path: "/v1/raft/nil/members?change=demote&node=1", want: 404, code: client.CodeNotFound},
	{operation: "POST /v1/raft/{group}/members", path: "/v1/raft/meta/members?change=demote&node=1", fault: halted, want: 503, code: client.CodeHalted},
	{operation: "POST /v1/raft/{group}/members", path: "/v1/raft/meta/members?change=demote&node=1", fault: mute, want: 504, code: client.CodeTimeout},
	{operation: "POST /v1/raft/{group}/transfer", path: "/v1/raft/meta/transfer", want: 200},
	{operation: "POST /v1/raft/{group}/transfer", path: "/v1/raft/meta/transfer?to=2", want: 200},
	{operation: "POST /v1/raft/{group}/transfer", path: "/v1/raft/meta/transfer?to=3", want: 400, code: client.CodeInvalid},
	{operation: "POST /v1/raft/{group}/transfer", path: "/v1/raft/meta/transfer?to=two", want: 400, code: client.CodeInvalid},
	{operation: "POST /v1/raft/{group}/transfer", path: "/v1/raft/nil/transfer", want: 404, code: client.CodeNotFound},
	{operation: "POST /v1/raft/{group}/transfer", path: "/v1/raft/meta/transfer", fault: halted, want: 503, code: client.CodeHalted},
	{operation: "POST /v1/raft/{group}/transfer", path: "/v1/raft/meta/transfer", fault: mute, want: 504, code: client.CodeTimeout},
	{operation: "POST /v1/raft/{group}/snapshot", path: "/v1/raft/meta/snapshot", want: 200},
	{operation: "POST /v1/raft/{group}/snapshot", path: "/v1/raft/nil/snapshot", want: 404, code: client.CodeNotFound},
	{operation: "POST /v1/raft/{group}/snapshot", path: "/v1/raft/meta/snapshot", fault: halted, want: 503, code: client.CodeHalted},
	{operation: "POST /v1/raft/{group}/snapshot", path: "/v1/raft/meta/snapshot", fault: mute, want: 504, code: client.CodeTimeout},
	{operation: "GET /v1/backup", want: 200},
	{operation: "GET /v1/backup", fault: halted, want: 503, code: client.CodeHalted},
	{operation: "GET /v1/backup", fault: mute, want: 504, code: client.CodeTimeout},
}

func TestServerIsWhatOpenAPISays(t *testing.T) {
	document := loadSpec(t)
	operations := document.operations()
	var served []string
	for _, r := range admin.Routes() {
		served = append(served, strings.ReplaceAll(r, "...", ""))
	}
	slices.Sort(served)
	if documented := slices.Sorted(maps.Keys(operations)); !slices.Equal(served, documented) {
		t.Fatalf("served:\n%s\ndocumented:\n%s", strings.Join(served, "\n"), strings.Join(documented, "\n"))
	}

	seen := map[string]bool{}
	judge := func(operation string, base string, r request, want int, code client.Code) {
		t.Helper()
		res, body := r.do(t, base)
		label := fmt.Sprintf("%s %s %.80s", r.method, r.path, r.body)
		seen[fmt.Sprint(operation, " ", res.StatusCode)] = true
		if err := document.answer(operations[operation], res.StatusCode, body); err != nil {
			t.Errorf("%s: %v", label, err)
		}
		var failure client.Error
		if code != "" && json.Unmarshal([]byte(body), &failure) != nil || failure.Code != code || res.StatusCode != want {
			t.Errorf("%s: status %d, want %d with code %q: %s", label, res.StatusCode, want, code, body)
		}
	}

	w := newWorld(t)
	hasty := w.cfg // for what ends by its time; the others have as long as they need
	hasty.RequestTimeout = 600 * time.Millisecond
	server, err := admin.New(hasty)
	if err != nil {
		t.Fatal(err)
	}
	hastyURL := serve(t, server.Handler())
	for _, e := range exchanges {
		method, path, _ := strings.Cut(e.operation, " ")
		if e.path != "" {
			path = e.path
		}
		base := w.url
		if e.want == http.StatusGatewayTimeout || e.code == client.CodeUnavailable {
			base = hastyURL
		}
		w.on(e.fault)
		judge(e.operation, base, request{method: method, path: path, body: e.body, header: e.header}, e.want, e.code)
	}
	w.on(nil)
	w.mu.Lock()
	w.live, w.ready[1] = errors.New("the store does not answer"), client.Condition{Name: "caught_up", Detail: "9 behind"}
	w.sick = errors.New("a collector failed")
	w.mu.Unlock()
	judge("GET /livez", w.url, request{method: "GET", path: "/livez"}, 503, client.CodeNotLive)
	judge("GET /readyz", w.url, request{method: "GET", path: "/readyz?verbose"}, 503, client.CodeNotReady)
	judge("GET /metrics", w.url, request{method: "GET", path: "/metrics"}, 500, client.CodeInternal)

	locked := newWorld(t, func(c *admin.Config) { c.Token = "s3cret" })
	full := newWorld(t, func(c *admin.Config) { c.MaxRequests = 1 })
	release := full.occupy(t)
	for operation := range operations {
		method, path, _ := strings.Cut(operation, " ")
		judge(operation, locked.url, request{method: method, path: path}, 401, client.CodeUnauthorized)
		judge(operation, w.url, request{method: method, path: path, host: "evil.example"}, 403, client.CodeForbidden)
		judge(operation, full.url, request{method: method, path: path}, 503, client.CodeBusy)
	}
	release()

	for operation, op := range operations {
		for status := range op["responses"].(object) {
			if !seen[operation+" "+status] {
				t.Errorf("%s never answered with the documented status %s", operation, status)
			}
		}
	}
}

func TestEveryCodeIsDocumented(t *testing.T) {
	document := loadSpec(t)
	var documented []string
	for _, code := range document.resolve(object{"$ref": "#/components/schemas/Error/properties/code"})["enum"].([]any) {
		documented = append(documented, code.(string))
		if client.Code(code.(string)).HTTPStatus() == 500 && code != "internal" {
			t.Errorf("code %s has no status of its own", code)
		}
	}
	if len(documented) != 22 {
		t.Errorf("%d codes are documented", len(documented))
	}
}

// occupy fills the one slot of a server, and returns what empties it again.
func (w *world) occupy(t *testing.T) func() {
	t.Helper()
	inside, leave, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	w.on(func(m any) any {
		if _, ok := m.(*membership.GetMembers); ok {
			close(inside)
			<-leave
		}
		return nil
	})
	go func() {
		defer close(left)
		request{method: "GET", path: "/v1/members"}.do(t, w.url)
	}()
	<-inside
	return func() {
		close(leave)
		<-left
	}
}
