package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/hupe1980/rivven-cluster/actors"
)

// Server serves the admin API of one node. It is safe for concurrent use.
type Server struct {
	cfg     Config
	log     *zap.Logger
	metrics actors.Metrics
	group   *group

	api, health *http.Server
}

// New makes a server; it listens on nothing yet. Everything that the configuration lacks is reported at once.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.ensureDefaults()
	s := &Server{
		cfg: cfg, log: cfg.Log, metrics: actors.NoMetrics,
		group: newGroup(cfg.System, cfg.PIDs.Meta, cfg.RequestTimeout),
	}
	if system, ok := actors.From(cfg.System); ok {
		s.metrics = system.Metrics()
	}
	s.api = s.httpServer(s.limit(s.closed(s.routes()), cfg.MaxRequests))
	s.health = s.httpServer(s.limit(s.healthRoutes(), maxHealthRequests)) // of its own: a busy API must not look dead
	return s, nil
}

// Handler serves the whole API.
func (s *Server) Handler() http.Handler { return s.api.Handler }

// HealthHandler serves /livez, /readyz and /metrics, to anybody.
func (s *Server) HealthHandler() http.Handler { return s.health.Handler }

// Serve serves the whole API on a listener until Shutdown; over TLS, wrap the listener with tls.NewListener. It returns nil
// after Shutdown.
func (s *Server) Serve(l net.Listener) error { return serve(s.api, l) }

// ServeHealth serves /livez, /readyz and /metrics on a listener until Shutdown.
func (s *Server) ServeHealth(l net.Listener) error { return serve(s.health, l) }

func serve(server *http.Server, l net.Listener) error {
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown closes the listeners, waits for the requests that run until ctx ends, and then closes their connections.
func (s *Server) Shutdown(ctx context.Context) error {
	var faults []error
	for _, server := range []*http.Server{s.api, s.health} {
		if err := server.Shutdown(ctx); err != nil {
			faults = append(faults, err, server.Close())
		}
	}
	return errors.Join(faults...)
}

func (s *Server) httpServer(handler http.Handler) *http.Server {
	// Peers cause what net/http logs, failed handshakes for one.
	sampled := s.log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, 3, 0)
	}))
	std, err := zap.NewStdLogAt(sampled, zap.WarnLevel)
	if err != nil {
		panic("admin: warn is no level: " + err.Error())
	}
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      s.cfg.RequestTimeout + 50*time.Second, // a CPU profile of 30 s fits
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          std,
	}
}
