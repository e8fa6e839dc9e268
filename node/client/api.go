package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Status returns the state of the cluster as the node that answers sees it.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return get[Status](ctx, c, "/v1/status", nil)
}

// Members returns the membership as the node that answers sees it.
func (c *Client) Members(ctx context.Context) (*Members, error) {
	return get[Members](ctx, c, "/v1/members", nil)
}

// Ready returns the node's conditions; a node that is not ready answers with CodeNotReady and has them in the Error.
func (c *Client) Ready(ctx context.Context) (*Health, error) {
	return get[Health](ctx, c, "/readyz", url.Values{"verbose": {"true"}})
}

// Topics returns one page of the topics.
func (c *Client) Topics(ctx context.Context, o ListOptions) (*Topics, error) {
	return get[Topics](ctx, c, "/v1/topics", o.query())
}

// Topic reads one topic, linearizably.
func (c *Client) Topic(ctx context.Context, name string) (*Topic, error) {
	return get[Topic](ctx, c, "/v1/topics/"+segment(name), nil)
}

// CreateTopic creates a topic and assigns its partitions.
func (c *Client) CreateTopic(ctx context.Context, topic CreateTopic) (*Topic, error) {
	return send[Topic](ctx, c, call{method: http.MethodPost, path: "/v1/topics", body: topic})
}

// DeleteTopic deletes a topic and its partitions.
func (c *Client) DeleteTopic(ctx context.Context, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/topics/" + segment(name), write: true}, nil)
}

// GetConfig reads a key, linearizably.
func (c *Client) GetConfig(ctx context.Context, key string) (*ConfigEntry, error) {
	return get[ConfigEntry](ctx, c, "/v1/config/"+segment(key), nil)
}

// GetConfigStale reads what the node that answers has applied, without asking the leader.
func (c *Client) GetConfigStale(ctx context.Context, key string) (*ConfigEntry, error) {
	return get[ConfigEntry](ctx, c, "/v1/config/"+segment(key), url.Values{"stale": {"true"}})
}

// PutConfig sets a key whatever there is.
func (c *Client) PutConfig(ctx context.Context, key string, value []byte) (*ConfigChanged, error) {
	return send[ConfigChanged](ctx, c, putCall(key, ConfigWrite{Value: value}))
}

// CompareAndSetConfig sets a key whose revision is that one; 0: the key must not exist. Otherwise it fails with
// CodeRevisionMismatch.
func (c *Client) CompareAndSetConfig(ctx context.Context, key string, value []byte, revision uint64) (*ConfigChanged, error) {
	return send[ConfigChanged](ctx, c, putCall(key, ConfigWrite{Value: value, Revision: &revision}))
}

// DeleteConfig deletes a key; one that does not exist is no error.
func (c *Client) DeleteConfig(ctx context.Context, key string) (*ConfigChanged, error) {
	return send[ConfigChanged](ctx, c, call{method: http.MethodDelete, path: "/v1/config/" + segment(key)})
}

// CompareAndDeleteConfig deletes a key whose revision is that one, else it fails with CodeRevisionMismatch.
func (c *Client) CompareAndDeleteConfig(ctx context.Context, key string, revision uint64) (*ConfigChanged, error) {
	return send[ConfigChanged](ctx, c, call{
		method: http.MethodDelete, path: "/v1/config/" + segment(key),
		query: url.Values{"revision": {strconv.FormatUint(revision, 10)}},
	})
}

// ListConfig returns one page of the configuration.
func (c *Client) ListConfig(ctx context.Context, o ListOptions) (*ConfigList, error) {
	return get[ConfigList](ctx, c, "/v1/config", o.query())
}

// ListOptions choose a page of topics or of configuration keys. Pages are read linearizably, each on its own.
type ListOptions struct {
	Prefix string
	After  string // names behind this one
	Limit  int    // 0: the most that one answer may hold
	Stale  bool   // what the node that answers has applied, without asking the leader
}

func (o ListOptions) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"prefix": o.Prefix, "after": o.After} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if o.Limit != 0 {
		query.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.Stale {
		query.Set("stale", "true")
	}
	return query
}

func putCall(key string, body ConfigWrite) call {
	return call{method: http.MethodPut, path: "/v1/config/" + segment(key), body: body}
}

// segment escapes a name as one segment of a path, also one that servers would take for a step in it.
func segment(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (*T, error) {
	out := new(T)
	if err := c.do(ctx, call{method: http.MethodGet, path: path, query: query}, out); err != nil {
		return nil, err
	}
	return out, nil
}

func send[T any](ctx context.Context, c *Client, r call) (*T, error) {
	r.write = true
	out := new(T)
	if err := c.do(ctx, r, out); err != nil {
		return nil, err
	}
	return out, nil
}
