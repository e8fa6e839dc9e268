package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/partition"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// maxBody holds the largest value there is even where JSON escapes each of its bytes.
const maxBody = 6*metadata.MaxConfigValue + 4<<10

func (s *Server) answer(w http.ResponseWriter, status int, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // whoever asked may be gone
	return nil
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, e *client.Error) {
	if e.Code == client.CodeInternal {
		s.log.Error("request failed", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.String("message", e.Message))
	}
	w.Header().Del("ETag")
	if err := s.answer(w, e.Code.HTTPStatus(), e); err != nil {
		s.log.Error("answer failed", zap.Error(err))
	}
}

// decode reads a request body. Invalid UTF-8 is refused, for the JSON reader would replace it silently.
func decode(w http.ResponseWriter, r *http.Request, out any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &client.Error{Code: client.CodeMediaType, Message: fmt.Sprintf("content type is %.100q, want application/json", r.Header.Get("Content-Type"))}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return &client.Error{Code: client.CodeTooLarge, Message: fmt.Sprintf("body has more than %d bytes", maxBody)}
	}
	if err != nil {
		return invalid("reading the body: %v", err)
	}
	if !utf8.Valid(body) {
		return invalid("body is not UTF-8: give bytes as base64, in value_base64")
	}
	if !json.Valid(body) {
		return invalid("body is no JSON value")
	}
	if err := strict(body, out); err != nil {
		return invalid("body: %v", err)
	}
	return nil
}

func strict(b []byte, out any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(out)
}

func invalid(format string, args ...any) error {
	return &client.Error{Code: client.CodeInvalid, Message: fmt.Sprintf(format, args...)}
}

// failure is an error in the API's own terms.
func failure(err error) *client.Error {
	var own *client.Error
	var group *consensus.Error
	var ring *partition.Error
	var refusal *consensus.Refusal
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &group):
		return groupFailure(group)
	case errors.As(err, &ring):
		return &client.Error{Code: ringCodes[ring.Code], Message: ring.Message, Leader: ring.Leader}
	case errors.As(err, &refusal):
		return &client.Error{Code: reasonCode(refusal.Reason), Message: refusal.Message}
	case errors.Is(err, consensus.ErrUnknownOutcome), errors.Is(err, partition.ErrUnknownOutcome):
		return &client.Error{Code: client.CodeUnknownOutcome, Message: err.Error() + ": read before writing again"}
	case errors.Is(err, consensus.ErrDropped), errors.Is(err, partition.ErrUnavailable):
		return &client.Error{Code: client.CodeUnavailable, Message: err.Error()}
	}
	return &client.Error{Code: client.CodeInternal, Message: err.Error()}
}

var groupCodes = map[consensus.Code]client.Code{
	consensus.Code_CODE_NOT_LEADER:      client.CodeNotLeader,
	consensus.Code_CODE_DROPPED:         client.CodeUnavailable,
	consensus.Code_CODE_TOO_LARGE:       client.CodeTooLarge,
	consensus.Code_CODE_UNKNOWN_OUTCOME: client.CodeUnknownOutcome,
	consensus.Code_CODE_SHUTTING_DOWN:   client.CodeShuttingDown,
	consensus.Code_CODE_BUSY:            client.CodeBusy,
	consensus.Code_CODE_HALTED:          client.CodeHalted,
	consensus.Code_CODE_INVALID:         client.CodeInvalid,
	consensus.Code_CODE_TIMEOUT:         client.CodeTimeout,
}

func groupFailure(e *consensus.Error) *client.Error {
	out := &client.Error{Code: groupCodes[e.Code], Message: e.Message, Leader: e.Leader.GetNodeId()}
	if e.Code == consensus.Code_CODE_REFUSED {
		out.Code = reasonCode(e.Reason)
	}
	if out.Code == "" {
		out.Code = client.CodeInternal
	}
	return out
}

func reasonCode(reason string) client.Code {
	switch reason {
	case metadata.ReasonInvalid:
		return client.CodeInvalid
	case metadata.ReasonNotFound:
		return client.CodeNotFound
	case metadata.ReasonAlreadyExists:
		return client.CodeAlreadyExists
	case metadata.ReasonRevisionMismatch:
		return client.CodeRevisionMismatch
	case metadata.ReasonLimit:
		return client.CodeLimitExceeded
	}
	return client.CodeRefused
}

var ringCodes = map[partition.Code]client.Code{
	partition.Code_CODE_UNSPECIFIED:      client.CodeInternal,
	partition.Code_CODE_NO_LEADER:        client.CodeNotLeader,
	partition.Code_CODE_INVALID:          client.CodeInvalid,
	partition.Code_CODE_ALREADY_EXISTS:   client.CodeAlreadyExists,
	partition.Code_CODE_NOT_FOUND:        client.CodeNotFound,
	partition.Code_CODE_NOT_ENOUGH_NODES: client.CodeNotEnoughNodes,
	partition.Code_CODE_UNKNOWN_OUTCOME:  client.CodeUnknownOutcome,
	partition.Code_CODE_BUSY:             client.CodeBusy,
	partition.Code_CODE_STALE_EPOCH:      client.CodeRefused,
	partition.Code_CODE_UNAVAILABLE:      client.CodeUnavailable,
}
