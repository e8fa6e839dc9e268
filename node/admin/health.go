package admin

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hupe1980/rivven-cluster/node/client"
)

const statusOK = "ok"

func (s *Server) getLive(w http.ResponseWriter, _ *http.Request) error {
	if err := s.cfg.Health.Live(); err != nil {
		return &client.Error{Code: client.CodeNotLive, Message: err.Error()}
	}
	return s.answer(w, http.StatusOK, client.Health{Status: statusOK})
}

func (s *Server) getReady(w http.ResponseWriter, r *http.Request) error {
	verbose, err := flag(r, "verbose")
	if err != nil {
		return err
	}
	conditions := s.cfg.Health.Ready()
	var missing []string
	for _, c := range conditions {
		if !c.OK {
			missing = append(missing, strings.TrimSuffix(c.Name+": "+c.Detail, ": "))
		}
	}
	shown := conditions
	if !verbose {
		shown = nil
	}
	if len(missing) > 0 {
		return &client.Error{Code: client.CodeNotReady, Message: strings.Join(missing, "; "), Conditions: shown}
	}
	return s.answer(w, http.StatusOK, client.Health{Status: statusOK, Conditions: shown})
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) error {
	families, err := s.cfg.Gather.Gather()
	if err != nil {
		return fmt.Errorf("gathering metrics: %w", err)
	}
	promhttp.HandlerFor(prometheus.GathererFunc(always(families)), promhttp.HandlerOpts{}).ServeHTTP(w, r)
	return nil
}

func always[T any](value T) func() (T, error) { return func() (T, error) { return value, nil } }
