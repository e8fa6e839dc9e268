package client

import (
	"fmt"
	"net/http"
)

// Code says why a request failed. Codes are stable. A Code is itself an error to compare with:
// errors.Is(err, client.CodeNotFound).
type Code string

// The codes, with the HTTP status of each.
const (
	CodeInvalid          Code = "invalid"                // 400: the request breaks a rule whatever the state
	CodeUnauthorized     Code = "unauthorized"           // 401: the bearer token is missing or wrong
	CodeForbidden        Code = "forbidden"              // 403: a browser's request from another site, or by a foreign host name
	CodeNotFound         Code = "not_found"              // 404: no such topic, key or path
	CodeMethodNotAllowed Code = "method_not_allowed"     // 405
	CodeAlreadyExists    Code = "already_exists"         // 409: the topic exists
	CodeRefused          Code = "refused"                // 409: the cluster's metadata said no for another reason
	CodeRevisionMismatch Code = "revision_mismatch"      // 412: compare-and-set lost
	CodeTooLarge         Code = "too_large"              // 413
	CodeMediaType        Code = "unsupported_media_type" // 415: the body is not application/json
	CodeLimitExceeded    Code = "limit_exceeded"         // 422: the cluster's metadata would outgrow a limit
	CodeNotEnoughNodes   Code = "not_enough_nodes"       // 422: fewer nodes are eligible than the replication factor asks for
	CodeInternal         Code = "internal"               // 500: a defect; a write may or may not have taken effect
	CodeNotLeader        Code = "not_leader"             // 503: no leader is known or reachable
	CodeUnavailable      Code = "unavailable"            // 503: the part of the node that answers is not running
	CodeBusy             Code = "busy"                   // 503: a queue is full
	CodeShuttingDown     Code = "shutting_down"          // 503
	CodeHalted           Code = "halted"                 // 503: this node's replica of the metadata stopped for good
	CodeNotReady         Code = "not_ready"              // 503: see the conditions
	CodeNotLive          Code = "not_live"               // 503
	CodeTimeout          Code = "timeout"                // 504: a read found no answer in time
	CodeUnknownOutcome   Code = "unknown_outcome"        // 504: the write may or may not take effect: read before writing again
	CodeUnreachable      Code = "unreachable"            // no HTTP answer, and nothing written
)

var statuses = map[Code]int{
	CodeInvalid:          http.StatusBadRequest,
	CodeUnauthorized:     http.StatusUnauthorized,
	CodeForbidden:        http.StatusForbidden,
	CodeNotFound:         http.StatusNotFound,
	CodeMethodNotAllowed: http.StatusMethodNotAllowed,
	CodeAlreadyExists:    http.StatusConflict,
	CodeRefused:          http.StatusConflict,
	CodeRevisionMismatch: http.StatusPreconditionFailed,
	CodeTooLarge:         http.StatusRequestEntityTooLarge,
	CodeMediaType:        http.StatusUnsupportedMediaType,
	CodeLimitExceeded:    http.StatusUnprocessableEntity,
	CodeNotEnoughNodes:   http.StatusUnprocessableEntity,
	CodeNotLeader:        http.StatusServiceUnavailable,
	CodeUnavailable:      http.StatusServiceUnavailable,
	CodeBusy:             http.StatusServiceUnavailable,
	CodeShuttingDown:     http.StatusServiceUnavailable,
	CodeHalted:           http.StatusServiceUnavailable,
	CodeNotReady:         http.StatusServiceUnavailable,
	CodeNotLive:          http.StatusServiceUnavailable,
	CodeTimeout:          http.StatusGatewayTimeout,
	CodeUnknownOutcome:   http.StatusGatewayTimeout,
}

// Error makes a Code a target of errors.Is.
func (c Code) Error() string { return string(c) }

// HTTPStatus is the status that an answer with the code has.
func (c Code) HTTPStatus() int {
	if status, ok := statuses[c]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// passing reports a failure of one node, without effect, that another node may not have.
func (c Code) passing() bool {
	switch c {
	case CodeNotLeader, CodeUnavailable, CodeBusy, CodeShuttingDown, CodeHalted, CodeUnreachable:
		return true
	}
	return false
}

// Error is why a request failed, as the server says it or as the client found out. Its JSON is the body of every answer
// that is no success.
type Error struct {
	Code       Code        `json:"code"`
	Message    string      `json:"message"`
	Leader     uint64      `json:"leader,omitempty"`     // node id, a hint
	Conditions []Condition `json:"conditions,omitempty"` // of /readyz?verbose

	Status int   `json:"-"` // HTTP status; 0 where there was no answer
	Cause  error `json:"-"` // of the transport, may be nil
}

func (e *Error) Error() string {
	if e.Leader != 0 {
		return fmt.Sprintf("%s (leader is node %d)", e.Message, e.Leader)
	}
	return e.Message
}

// Is compares by code.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// Unwrap returns the failure of the transport.
func (e *Error) Unwrap() error { return e.Cause }
