package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/hupe1980/rivven-cluster/node/client"
)

// outputFormat is the value of -o.
type outputFormat string

const (
	outputTable outputFormat = "table"
	outputJSON  outputFormat = "json"
)

// String, Set and Type make it a flag.
func (f *outputFormat) String() string { return string(*f) }

// Set takes table or json.
func (f *outputFormat) Set(s string) error {
	switch outputFormat(s) {
	case outputTable, outputJSON:
		*f = outputFormat(s)
		return nil
	}
	return fmt.Errorf("want table or json")
}

// Type is what help calls it.
func (*outputFormat) Type() string { return "format" }

// print writes a value as JSON, or as what table makes of it.
func (a *app) print(value any, table func(*bytes.Buffer)) error {
	var b bytes.Buffer
	if a.output == outputJSON {
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(value); err != nil {
			return fmt.Errorf("encode the output: %w", err)
		}
	} else {
		table(&b)
	}
	_, err := a.out.Write(b.Bytes())
	return err
}

// terminal reports whether w shows what is written to a person who can be shown more.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// colored follows https://no-color.org.
func colored(w io.Writer) bool { return terminal(w) && os.Getenv("NO_COLOR") == "" }

type color string

const (
	plain  color = ""
	bold   color = "1"
	red    color = "31"
	green  color = "32"
	yellow color = "33"
)

type cell struct {
	text  string
	color color
}

// table is columns of text, two spaces apart.
type table struct {
	header []string
	rows   [][]cell
}

func (t *table) row(values ...any) {
	cells := make([]cell, len(values))
	for i, v := range values {
		if c, ok := v.(cell); ok {
			cells[i] = c
		} else {
			cells[i] = cell{text: fmt.Sprint(v)}
		}
	}
	t.rows = append(t.rows, cells)
}

func (t *table) write(b *bytes.Buffer, colored bool) {
	width := make([]int, len(t.header))
	header := make([]cell, len(t.header))
	for i, h := range t.header {
		header[i] = cell{h, bold}
	}
	lines := append([][]cell{header}, t.rows...)
	for _, line := range lines {
		for i, c := range line {
			width[i] = max(width[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, line := range lines {
		var out strings.Builder
		for i, c := range line {
			if i > 0 {
				out.WriteString("  ")
			}
			if colored && c.color != plain {
				fmt.Fprintf(&out, "\x1b[%sm%s\x1b[0m", c.color, c.text)
			} else {
				out.WriteString(c.text)
			}
			if i < len(line)-1 {
				out.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c.text)))
			}
		}
		b.WriteString(strings.TrimRight(out.String(), " ") + "\n")
	}
}

func stateCell(s client.State) cell {
	switch s {
	case client.StateAlive:
		return cell{string(s), green}
	case client.StateSuspect:
		return cell{string(s), yellow}
	case client.StateDead:
		return cell{string(s), red}
	}
	return cell{text: string(s)}
}

func roleCell(r client.Role) cell {
	switch r {
	case client.RoleLeader:
		return cell{string(r), bold}
	case client.RoleUnknown:
		return cell{string(r), yellow}
	}
	return cell{text: string(r)}
}

// leaderCell shows a node id, or that there is none.
func leaderCell(id uint64) cell {
	if id == 0 {
		return cell{"none", red}
	}
	return cell{text: fmt.Sprint(id)}
}

func idList(ids []uint64) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = fmt.Sprint(id)
	}
	return strings.Join(out, ",")
}
