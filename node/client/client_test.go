package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hupe1980/rivven-cluster/node/client"
)

// node is a server that counts what it is asked.
type node struct {
	*httptest.Server
	asked atomic.Int32
}

func serve(t *testing.T, h http.HandlerFunc) *node {
	t.Helper()
	n := &node{}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.asked.Add(1)
		h(w, r)
	}))
	t.Cleanup(n.Close)
	return n
}

func answer(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func failing(code client.Code) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		answer(w, code.HTTPStatus(), fmt.Sprintf(`{"code":%q,"message":"no","leader":3}`, code))
	}
}

func healthy(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		answer(w, 200, `{"key":"k","value":"v","revision":7}`)
	default:
		answer(w, 200, `{"key":"k","revision":8}`)
	}
}

// cut answers nothing: it closes the connection when the request is read.
func cut(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// cutInBody breaks off in the middle of an answer.
func cutInBody(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	answer(w, 200, `{"key":`)
	panic(http.ErrAbortHandler)
}

func refusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func connect(t *testing.T, addresses ...string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Addresses: addresses})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestFailover(t *testing.T) {
	for _, tt := range []struct {
		name              string
		first             http.HandlerFunc // nil: nobody listens
		read, write       client.Code      // empty: success, by the second node
		readOn, writeOnTo int32            // requests that reach the second node
	}{
		{name: "nobody listens", readOn: 1, writeOnTo: 1},
		{name: "not leader", first: failing(client.CodeNotLeader), readOn: 1, writeOnTo: 1},
		{name: "unavailable", first: failing(client.CodeUnavailable), readOn: 1, writeOnTo: 1},
		{name: "busy", first: failing(client.CodeBusy), readOn: 1, writeOnTo: 1},
		{name: "shutting down", first: failing(client.CodeShuttingDown), readOn: 1, writeOnTo: 1},
		{name: "halted", first: failing(client.CodeHalted), readOn: 1, writeOnTo: 1},
		{name: "unknown outcome", first: failing(client.CodeUnknownOutcome), readOn: 1, write: client.CodeUnknownOutcome},
		{name: "timeout", first: failing(client.CodeTimeout), readOn: 1, write: client.CodeUnknownOutcome},
		{name: "internal", first: failing(client.CodeInternal), readOn: 1, write: client.CodeInternal},
		{name: "cut", first: cut, readOn: 1, write: client.CodeUnknownOutcome},
		{name: "cut in the answer", first: cutInBody, readOn: 1, write: client.CodeUnknownOutcome},
		{name: "a proxy's error", first: func(w http.ResponseWriter, _ *http.Request) { answer(w, 502, "<html>") }, readOn: 1, write: client.CodeUnknownOutcome},
		{name: "a redirect", first: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", 307) }, read: client.CodeInvalid, write: client.CodeInvalid},
		{name: "not found", first: failing(client.CodeNotFound), read: client.CodeNotFound, write: client.CodeNotFound},
		{name: "revision mismatch", first: failing(client.CodeRevisionMismatch), read: client.CodeRevisionMismatch, write: client.CodeRevisionMismatch},
		{name: "unauthorized", first: failing(client.CodeUnauthorized), read: client.CodeUnauthorized, write: client.CodeUnauthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address := refusedAddress(t)
			if tt.first != nil {
				address = serve(t, tt.first).URL
			}
			for _, write := range []bool{false, true} {
				second := serve(t, healthy)
				c := connect(t, address, second.URL)
				want, reached := tt.read, tt.readOn
				_, err := c.GetConfig(t.Context(), "k")
				if write {
					second.asked.Store(0)
					c = connect(t, address, second.URL)
					want, reached = tt.write, tt.writeOnTo
					_, err = c.PutConfig(t.Context(), "k", []byte("v"))
				}
				if want == "" && err != nil || want != "" && !errors.Is(err, want) {
					t.Errorf("write %v: %v, want %q", write, err, want)
				}
				if got := second.asked.Load(); got != reached {
					t.Errorf("write %v: the second node was asked %d times, want %d", write, got, reached)
				}
			}
		})
	}
}

func TestNodeThatAnsweredIsAskedFirstNextTime(t *testing.T) {
	first, second := serve(t, failing(client.CodeNotLeader)), serve(t, healthy)
	c := connect(t, first.URL, second.URL)
	for range 3 {
		if _, err := c.PutConfig(t.Context(), "k", nil); err != nil {
			t.Fatal(err)
		}
	}
	if first.asked.Load() != 1 || second.asked.Load() != 3 {
		t.Fatal(first.asked.Load(), second.asked.Load())
	}
}

func TestWriteThatIsNotAnsweredInTime(t *testing.T) {
	release := make(chan struct{})
	slow := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	other := serve(t, healthy)
	defer close(release)
	c, err := client.New(client.Config{Addresses: []string{slow.URL, other.URL}, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.CreateTopic(t.Context(), client.CreateTopic{Name: "t", Partitions: 1})
	if !errors.Is(err, client.CodeUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) || other.asked.Load() != 0 {
		t.Fatal(err, other.asked.Load())
	}
}

func TestErrorCarriesWhatTheNodeSaid(t *testing.T) {
	n := serve(t, failing(client.CodeNotLeader))
	_, err := connect(t, n.URL).Status(t.Context())
	var failure *client.Error
	if !errors.As(err, &failure) || failure.Leader != 3 || failure.Status != 503 || failure.Error() != "no (leader is node 3)" {
		t.Fatalf("%+v", err)
	}
}

func TestRequestAsItIsSent(t *testing.T) {
	var got []string
	n := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Method, r.RequestURI, r.Header.Get("Authorization"), body)))
		answer(w, 200, `{"key":"k","value":"","revision":1}`)
	})
	c, err := client.New(client.Config{Addresses: []string{n.URL}, Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	_, _ = c.PutConfig(ctx, "a/b", []byte("x"))
	_, _ = c.CompareAndSetConfig(ctx, "..", []byte{0xff}, 0)
	_, _ = c.GetConfigStale(ctx, "ü ")
	_, _ = c.CompareAndDeleteConfig(ctx, "k", 3)
	_, _ = c.ListConfig(ctx, client.ListOptions{Prefix: "a&", After: "b", Limit: 2, Stale: true})
	_ = c.DeleteTopic(ctx, "t")
	_, _ = c.Ready(ctx)
	want := []string{
		`PUT /v1/config/a%2Fb Bearer t {"value":"x"}`,
		`PUT /v1/config/%2E%2E Bearer t {"value_base64":"/w==","revision":0}`,
		`GET /v1/config/%C3%BC%20?stale=true Bearer t`,
		`DELETE /v1/config/k?revision=3 Bearer t`,
		`GET /v1/config?after=b&limit=2&prefix=a%26&stale=true Bearer t`,
		`DELETE /v1/topics/t Bearer t`,
		`GET /readyz?verbose=true Bearer t`,
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFaultsOfTheConfigurationAtOnce(t *testing.T) {
	_, err := client.New(client.Config{Token: "t", Addresses: []string{"ftp://a:1", "http://a:1/path", "node1:9094", "", "127.0.0.1:9094"}})
	if n := strings.Count(fmt.Sprint(err), "\n") + 1; n != 4 {
		t.Fatalf("%d faults:\n%v", n, err)
	}
	if _, err := client.New(client.Config{}); err == nil {
		t.Fatal("no address is no fault")
	}
}

func TestValuesOfAnyBytesSurviveJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := client.ConfigEntry{Key: rapid.String().Draw(t, "key"), Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value"), Revision: rapid.Uint64().Draw(t, "revision")}
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var out client.ConfigEntry
		if err := json.Unmarshal(b, &out); err != nil || out.Key != in.Key || string(out.Value) != string(in.Value) || out.Revision != in.Revision {
			t.Fatalf("%s: %+v %v", b, out, err)
		}
	})
}

func TestWriteWithAMisspelledRevisionIsRefused(t *testing.T) {
	var w client.ConfigWrite
	for _, body := range []string{`{"value":"x","revison":1}`, `{}`, `{"value":"x","value_base64":"eA=="}`, `{"value":null}`, `{"value_base64":"?"}`} {
		if err := json.Unmarshal([]byte(body), &w); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}
