package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"

	"github.com/hupe1980/rivven-cluster/node/client"
)

// handler answers a request, or says why not: then it has written nothing yet.
type handler func(w http.ResponseWriter, r *http.Request) error

type route struct {
	method, path string
	serve        handler
}

// slowPaths bound their own time.
var slowPaths = map[string]bool{"/v1/backup": true}

func (s *Server) routeTable() []route {
	return append(s.healthTable(), []route{
		{http.MethodGet, "/v1/status", s.getStatus},
		{http.MethodGet, "/v1/members", s.getMembers},
		{http.MethodGet, "/v1/peers", s.getPeers},
		{http.MethodGet, "/v1/topics", s.listTopics},
		{http.MethodPost, "/v1/topics", s.createTopic},
		{http.MethodGet, "/v1/topics/{name}", s.getTopic},
		{http.MethodDelete, "/v1/topics/{name}", s.deleteTopic},
		{http.MethodGet, "/v1/config", s.listConfig},
		{http.MethodGet, "/v1/config/{key...}", s.getConfig},
		{http.MethodPut, "/v1/config/{key...}", s.putConfig},
		{http.MethodDelete, "/v1/config/{key...}", s.deleteConfig},
		{http.MethodGet, "/v1/backup", s.getBackup},
		{http.MethodGet, "/v1/raft", s.getRaft},
		{http.MethodGet, "/v1/raft/{group}", s.getRaftGroup},
		{http.MethodPost, "/v1/raft/{group}/transfer", s.transferLeadership},
		{http.MethodPost, "/v1/raft/{group}/snapshot", s.takeSnapshot},
		{http.MethodPost, "/v1/raft/{group}/members", s.changeMembers},
	}...)
}

func (s *Server) healthTable() []route {
	return []route{
		{http.MethodGet, "/livez", s.getLive},
		{http.MethodGet, "/readyz", s.getReady},
		{http.MethodGet, "/metrics", s.getMetrics},
	}
}

func (s *Server) routes() http.Handler {
	mux := s.mux(s.routeTable())
	mux.HandleFunc("/debug/pprof/", s.onLoopback(pprof.Index))
	mux.HandleFunc("/debug/pprof/cmdline", s.onLoopback(pprof.Cmdline))
	mux.HandleFunc("/debug/pprof/profile", s.onLoopback(pprof.Profile))
	mux.HandleFunc("/debug/pprof/symbol", s.onLoopback(pprof.Symbol))
	mux.HandleFunc("/debug/pprof/trace", s.onLoopback(pprof.Trace))
	return mux
}

func (s *Server) healthRoutes() http.Handler { return s.mux(s.healthTable()) }

// mux also answers for what is in no table, in JSON.
func (s *Server) mux(table []route) *http.ServeMux {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, r := range table {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			s.serve(w, req, r)
		})
		methods[r.path] = append(methods[r.path], r.method)
	}
	for path, allowed := range methods {
		if slices.Contains(allowed, http.MethodGet) {
			allowed = append(allowed, http.MethodHead)
		}
		slices.Sort(allowed)
		allow := strings.Join(allowed, ", ")
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", allow)
			s.fail(w, r, &client.Error{Code: client.CodeMethodNotAllowed, Message: fmt.Sprintf("%s is served for %s only", path, allow)})
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, &client.Error{Code: client.CodeNotFound, Message: "no such path: see openapi.yaml for those there are"})
	})
	return mux
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, route route) {
	ctx := r.Context()
	if !slowPaths[route.path] {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.cfg.RequestTimeout)
		defer cancel()
	}
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	if err := route.serve(rec, r.WithContext(ctx)); err != nil {
		s.fail(rec, r, failure(err))
	}
	s.metrics.Counter("rivven_admin_requests_total", "Requests to the admin API.",
		"route", route.method+" "+route.path, "status", fmt.Sprint(rec.status)).Add(1)
}

// recorder remembers the status.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
