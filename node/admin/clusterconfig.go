package admin

import (
	"net/http"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

func (s *Server) getConfig(w http.ResponseWriter, r *http.Request) error {
	key, err := configKey(r)
	if err != nil {
		return err
	}
	stale, err := flag(r, "stale")
	if err != nil {
		return err
	}
	entry, err := query[*metadata.ConfigEntry](r.Context(), s.group, &metadata.GetConfig{Key: key}, stale)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(entry.GetRevision()))
	return s.answer(w, http.StatusOK, entryOf(entry))
}

func (s *Server) putConfig(w http.ResponseWriter, r *http.Request) error {
	key, err := configKey(r)
	if err != nil {
		return err
	}
	var in client.ConfigWrite
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if len(in.Value) > metadata.MaxConfigValue {
		return &client.Error{Code: client.CodeTooLarge, Message: "value has " + strconv.Itoa(len(in.Value)) +
			" bytes, allowed are " + strconv.Itoa(metadata.MaxConfigValue)}
	}
	expected, err := expectedRevision(r, in.Revision)
	if err != nil {
		return err
	}
	return s.changeConfig(w, r, &metadata.SetConfig{Key: key, Value: in.Value, ExpectedRevision: expected})
}

func (s *Server) deleteConfig(w http.ResponseWriter, r *http.Request) error {
	key, err := configKey(r)
	if err != nil {
		return err
	}
	var revision *uint64
	if text := r.URL.Query().Get("revision"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return invalid("parameter revision is %.50q, want a number", text)
		}
		revision = &n
	}
	expected, err := expectedRevision(r, revision)
	if err != nil {
		return err
	}
	return s.changeConfig(w, r, &metadata.SetConfig{Key: key, Delete: true, ExpectedRevision: expected})
}

func (s *Server) changeConfig(w http.ResponseWriter, r *http.Request, command *metadata.SetConfig) error {
	changed, err := propose[*metadata.ConfigChanged](r.Context(), s.group, command)
	if err != nil {
		return err
	}
	s.log.Info("config key changed", zap.String("key", command.GetKey()), zap.Bool("deleted", command.GetDelete()),
		zap.Uint64("revision", changed.GetRevision()), zap.String("client", r.RemoteAddr))
	if !command.GetDelete() {
		w.Header().Set("ETag", etag(changed.GetRevision()))
	}
	return s.answer(w, http.StatusOK, client.ConfigChanged{Key: command.GetKey(), Revision: changed.GetRevision()})
}

func (s *Server) listConfig(w http.ResponseWriter, r *http.Request) error {
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	list, err := query[*metadata.ConfigList](r.Context(), s.group, &metadata.ListConfig{Prefix: p.prefix, After: p.after, Limit: p.limit}, p.stale)
	if err != nil {
		return err
	}
	out := client.ConfigList{Entries: []client.ConfigEntry{}, More: list.GetMore()}
	for _, e := range list.GetEntries() {
		out.Entries = append(out.Entries, entryOf(e))
	}
	return s.answer(w, http.StatusOK, out)
}

func configKey(r *http.Request) (string, error) {
	key := r.PathValue("key")
	return key, metadata.ValidConfigKey(key)
}

func entryOf(e *metadata.ConfigEntry) client.ConfigEntry {
	return client.ConfigEntry{Key: e.GetKey(), Value: e.GetValue(), Revision: e.GetRevision()}
}

func etag(revision uint64) string { return `"` + strconv.FormatUint(revision, 10) + `"` }

// expectedRevision is what a write is conditional on: the revision of body or query, If-Match with one entity tag, or
// If-None-Match: *, which is revision 0. More than one of them is refused.
func expectedRevision(r *http.Request, given *uint64) (*uint64, error) {
	conditions := 0
	if given != nil {
		conditions++
	}
	if match := r.Header.Get("If-Match"); match != "" {
		text, quoted := strings.CutPrefix(match, `"`)
		text, closed := strings.CutSuffix(text, `"`)
		n, err := strconv.ParseUint(text, 10, 64)
		if !quoted || !closed || err != nil {
			return nil, invalid("header If-Match is %.50q, want one revision in double quotes", match)
		}
		given = &n
		conditions++
	}
	if none := r.Header.Get("If-None-Match"); none != "" {
		if none != "*" {
			return nil, invalid("header If-None-Match is %.50q, want *", none)
		}
		given = new(uint64)
		conditions++
	}
	if conditions > 1 {
		return nil, invalid("more than one of revision, If-Match and If-None-Match is given")
	}
	return given, nil
}
