package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	defaultTimeout = 15 * time.Second // above the ten seconds after which a node gives up
	maxAnswerBytes = 64 << 20
)

// Config says how to reach a cluster.
type Config struct {
	// Addresses are the admin addresses of one or more nodes, as "host:port" or as a URL. Required.
	Addresses []string
	// TLS makes addresses without a scheme https.
	TLS *tls.Config
	// Token is sent as bearer token, and in the clear only to this machine.
	Token string
	// Timeout bounds one request to one node. Default 15 s.
	Timeout time.Duration
}

// Client asks a cluster through the admin API of its nodes. It is safe for concurrent use.
type Client struct {
	bases     []*url.URL
	token     string
	timeout   time.Duration
	http      *http.Client
	transport *http.Transport
	preferred atomic.Int64 // the base that answered last
}

// New returns a client; it connects to nothing yet. Every fault of the configuration is reported at once.
func New(cfg Config) (*Client, error) {
	transport := &http.Transport{
		TLSClientConfig:       cfg.TLS,
		ForceAttemptHTTP2:     true,
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   4,
		ResponseHeaderTimeout: cmp.Or(cfg.Timeout, defaultTimeout),
	}
	c := &Client{token: cfg.Token, timeout: cmp.Or(cfg.Timeout, defaultTimeout), transport: transport}
	c.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var faults []error
	for _, address := range cfg.Addresses {
		base, err := parseBase(address, cfg.TLS != nil)
		switch {
		case err != nil:
			faults = append(faults, err)
		case cfg.Token != "" && base.Scheme == "http" && !loopback(base.Hostname()):
			faults = append(faults, fmt.Errorf("address %s: the token would travel in the clear: use https", address))
		default:
			c.bases = append(c.bases, base)
		}
	}
	if len(cfg.Addresses) == 0 {
		faults = append(faults, errors.New("no admin address is given"))
	}
	return c, errors.Join(faults...)
}

func parseBase(address string, secure bool) (*url.URL, error) {
	full := address
	if !strings.Contains(address, "://") {
		scheme := "http://"
		if secure {
			scheme = "https://"
		}
		full = scheme + address
	}
	u, err := url.Parse(full)
	switch {
	case err != nil:
		return nil, fmt.Errorf("address %q: %w", address, err)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("address %q: scheme is %q, want http or https", address, u.Scheme)
	case u.Hostname() == "" || u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("address %q is not host:port or a URL of scheme, host and port", address)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Close drops idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// call is one request, as yet without an address. Its path is escaped.
type call struct {
	method string
	path   string
	query  url.Values
	body   any
	write  bool
}

func (c *Client) do(ctx context.Context, r call, out any) error {
	var body []byte
	if r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return &Error{Code: CodeInvalid, Message: fmt.Sprintf("encoding the request: %v", err), Cause: err}
		}
	}
	first := c.preferred.Load()
	var last *Error
	for i := range int64(len(c.bases)) {
		index := (first + i) % int64(len(c.bases))
		failure := c.attempt(ctx, c.bases[index], r, body, out)
		if failure == nil {
			c.preferred.Store(index)
			return nil
		}
		last = failure
		elsewhere := failure.Code.passing() || !r.write && failure.Status >= http.StatusInternalServerError
		if !elsewhere || ctx.Err() != nil {
			break
		}
	}
	return last
}

func (c *Client) attempt(ctx context.Context, base *url.URL, r call, body []byte, out any) *Error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	// Before there is a connection nothing is sent. Afterwards the transport itself repeats a write only where it wrote
	// not one byte of it.
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	target := base.Scheme + "://" + base.Host + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(body))
	if err != nil {
		return &Error{Code: CodeInvalid, Message: err.Error(), Cause: err}
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return lost(r, connected.Load(), 0, err)
	}
	defer func() { _ = res.Body.Close() }() // read to its end or given up
	answer, err := readAnswer(res.Body)
	if err != nil {
		return lost(r, true, res.StatusCode, fmt.Errorf("%s %s: reading the answer: %w", r.method, target, err))
	}
	return r.judge(res, answer, out)
}

func (r call) judge(res *http.Response, answer []byte, out any) *Error {
	if res.StatusCode/100 == 2 {
		if out == nil {
			return nil
		}
		if err := json.Unmarshal(answer, out); err != nil {
			return lost(r, true, res.StatusCode, fmt.Errorf("%s: the answer is none of this API: %w", res.Request.URL, err))
		}
		return nil
	}
	failure := &Error{}
	if err := json.Unmarshal(answer, failure); err != nil || failure.Code == "" {
		err := fmt.Errorf("%s answered %s, which is none of this API", res.Request.URL, res.Status)
		if res.StatusCode < http.StatusInternalServerError {
			return &Error{Code: CodeInvalid, Message: err.Error(), Status: res.StatusCode, Cause: err}
		}
		return lost(r, true, res.StatusCode, err)
	}
	failure.Status = res.StatusCode
	if r.write && failure.Code == CodeTimeout {
		failure.Code = CodeUnknownOutcome
	}
	return failure
}

// lost is a request without a readable answer.
func lost(r call, sent bool, status int, err error) *Error {
	if r.write && sent {
		return &Error{
			Code: CodeUnknownOutcome, Status: status, Cause: err,
			Message: fmt.Sprintf("the write may or may not have taken effect, read before writing again: %v", err),
		}
	}
	return &Error{Code: CodeUnreachable, Message: err.Error(), Status: status, Cause: err}
}

func readAnswer(r io.Reader) ([]byte, error) {
	answer, err := io.ReadAll(io.LimitReader(r, maxAnswerBytes+1))
	if err == nil && len(answer) > maxAnswerBytes {
		err = fmt.Errorf("it has more than %d bytes", maxAnswerBytes)
	}
	return answer, err
}

func unmarshalStrict(b []byte, out any, strict bool) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if strict {
		d.DisallowUnknownFields()
	}
	return d.Decode(out)
}
