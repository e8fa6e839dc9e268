package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/node/client"
)

// limit stands before every handler: it bounds the requests at once, and answers where one panics. What is refused here
// and in closed is counted by reason.
func (s *Server) limit(next http.Handler, most int) http.Handler {
	slots := make(chan struct{}, most)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			w.Header().Set("Retry-After", "1")
			s.refuse(w, r, client.CodeBusy, fmt.Sprintf("%d requests are being served already: try again", most))
			return
		}
		defer s.recovered(w, r)
		next.ServeHTTP(w, r)
	})
}

// closed lets only those in who may.
func (s *Server) closed(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := origin.Check(r)
		switch {
		case err != nil:
			s.refuse(w, r, client.CodeForbidden, err.Error())
		case s.cfg.Token == "" && !s.ownHost(r.Host):
			s.refuse(w, r, client.CodeForbidden, fmt.Sprintf("host %.260q is none of this server's names: use its address, or set a token", r.Host))
		case s.cfg.Token != "" && !s.authorized(r):
			w.Header().Set("WWW-Authenticate", `Bearer realm="rivven"`)
			s.refuse(w, r, client.CodeUnauthorized, "the bearer token is missing or wrong")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// authorized compares hashes, in a time that depends on neither token.
func (s *Server) authorized(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want, got := sha256.Sum256([]byte(s.cfg.Token)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && strings.EqualFold(scheme, "bearer")
}

func (s *Server) ownHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return strings.EqualFold(host, "localhost") ||
		slices.ContainsFunc(s.cfg.Hosts, func(own string) bool { return strings.EqualFold(own, host) })
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, code client.Code, message string) {
	s.metrics.Counter("rivven_admin_refused_total", "Requests that the admin API refused before it looked at them.", "reason", string(code)).Add(1)
	s.fail(w, r, &client.Error{Code: code, Message: message})
}

func (s *Server) recovered(w http.ResponseWriter, r *http.Request) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		s.log.Error("request panicked", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Any("panic", p), zap.Stack("stack"))
		s.fail(w, r, &client.Error{Code: client.CodeInternal, Message: "the request met a defect, which is in the node's log"})
	}
}

// onLoopback hides a handler from all but this machine.
func (s *Server) onLoopback(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if local == nil || !loopback(local.String()) || !loopback(r.RemoteAddr) {
			s.fail(w, r, &client.Error{Code: client.CodeNotFound, Message: "profiles are served on loopback only"})
			return
		}
		next(w, r)
	}
}

func loopback(address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && a.Addr().Unmap().IsLoopback()
}
