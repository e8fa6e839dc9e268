package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Backup copies a backup of the whole cluster's state to w, from the first node that answers. How long it takes is bounded by ctx alone. The
// caller checks the stream: one that was cut off is copied without an error where the connection ended so.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	// The node first takes a snapshot of every group, however long that takes.
	transport := c.transport.Clone()
	transport.ResponseHeaderTimeout = 0
	defer transport.CloseIdleConnections()
	patient := &http.Client{Transport: transport, CheckRedirect: c.http.CheckRedirect}
	var last *Error
	for _, base := range c.bases {
		target := base.Scheme + "://" + base.Host + "/v1/backup"
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
		if err != nil {
			return &Error{Code: CodeInvalid, Message: err.Error(), Cause: err}
		}
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		res, err := patient.Do(req)
		if err != nil {
			last = lost(call{}, false, 0, err)
			continue
		}
		if res.StatusCode == http.StatusOK {
			_, err := io.Copy(w, res.Body)
			_ = res.Body.Close() // read to its end or given up
			if err != nil {
				return &Error{Code: CodeUnreachable, Message: fmt.Sprintf("%s: the backup was cut off: %v", target, err), Cause: err}
			}
			return nil
		}
		answer, err := readAnswer(res.Body)
		_ = res.Body.Close()
		if err != nil {
			last = lost(call{}, false, res.StatusCode, err)
			continue
		}
		if last = (call{}).judge(res, answer, nil); last == nil {
			last = &Error{Code: CodeInvalid, Message: fmt.Sprintf("%s answered %s, which is none of this API", target, res.Status), Status: res.StatusCode}
		}
	}
	return last
}
