package mutants

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Mutant is one known bug.
type Mutant struct {
	Name string
	// Breaks says what is wrong with it, in a sentence.
	Breaks string
	// Hunt is the subtest of TestHunt that looks for it.
	Hunt string
	// CaughtBy are the invariants of which one must fail.
	CaughtBy []string
	// Seeds and Budget bound the hunt; no seed begins when the time is over.
	Seeds  int
	Budget time.Duration
	// Quick ones run without -mutants.all.
	Quick bool
	Edits []Edit
}

// Edit replaces a piece of a file.
type Edit struct {
	File            string // from the module's root
	Search, Replace string
}

// Lines that divide a file of testdata.
const (
	fileMark    = "--- "
	searchMark  = "@@ instead of"
	replaceMark = "@@ put"
	endMark     = "@@ end"
)

// Read reads a mutant from a file, which is named for it.
func Read(path string) (m *Mutant, err error) {
	f, err := os.Open(path) //nolint:gosec // a file of the test's own
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	p := &parser{m: &Mutant{Name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))}}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if err := p.line(lines.Text()); err != nil {
			return nil, fmt.Errorf("mutant %s: %w", p.m.Name, err)
		}
	}
	if err := errors.Join(lines.Err(), p.end()); err != nil {
		return nil, fmt.Errorf("mutant %s: %w", p.m.Name, err)
	}
	return p.m, nil
}

// parser takes a file line by line.
type parser struct {
	m    *Mutant
	file string
	in   string // the mark of the piece that is being read
	edit Edit
}

func (p *parser) line(text string) error {
	switch {
	case text == searchMark && p.in == "" && p.file != "":
		p.in, p.edit = searchMark, Edit{File: p.file}
	case text == replaceMark && p.in == searchMark:
		p.in = replaceMark
	case text == endMark && p.in == replaceMark:
		p.in = ""
		p.m.Edits = append(p.m.Edits, p.edit)
	case p.in == searchMark:
		p.edit.Search += text + "\n"
	case p.in == replaceMark:
		p.edit.Replace += text + "\n"
	case strings.HasPrefix(text, fileMark):
		p.file = strings.TrimPrefix(text, fileMark)
	case text != "":
		return p.field(text)
	}
	return nil
}

func (p *parser) field(text string) (err error) {
	key, value, _ := strings.Cut(text, ": ")
	m := p.m
	switch key {
	case "breaks":
		m.Breaks = value
	case "hunt":
		m.Hunt = value
	case "caught by":
		m.CaughtBy = strings.Split(value, "; ")
	case "seeds":
		m.Seeds, err = strconv.Atoi(value)
	case "budget":
		m.Budget, err = time.ParseDuration(value)
	case "quick":
		m.Quick, err = strconv.ParseBool(value)
	default:
		err = fmt.Errorf("line %q is no field", text)
	}
	return err
}

func (p *parser) end() error {
	m := p.m
	if p.in != "" {
		return fmt.Errorf("an edit of %s has no end", p.file)
	}
	if m.Breaks == "" || m.Hunt == "" || len(m.CaughtBy) == 0 || m.Seeds < 1 || m.Budget <= 0 || len(m.Edits) == 0 {
		return errors.New("want breaks, hunt, caught by, seeds, budget and at least one edit")
	}
	return nil
}

// Apply edits copies of the files below root, puts them into dir, and returns the overlay file for go build. Each piece must
// occur exactly once in what the edits before it left.
func (m *Mutant) Apply(root, dir string) (overlay string, err error) {
	texts := make(map[string]string)
	for _, e := range m.Edits {
		text, edited := texts[e.File]
		if !edited {
			b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File))) //nolint:gosec // a file of the module's own
			if err != nil {
				return "", fmt.Errorf("mutant %s: %w", m.Name, err)
			}
			text = strings.ReplaceAll(string(b), "\r\n", "\n")
		}
		if n := strings.Count(text, e.Search); n != 1 {
			return "", fmt.Errorf("mutant %s no longer applies: %s has this piece %d times, want once; make the mutant anew for the code as it is now:\n%s", m.Name, e.File, n, e.Search)
		}
		texts[e.File] = strings.Replace(text, e.Search, e.Replace, 1)
	}
	replace := make(map[string]string)
	for file, text := range texts {
		copied := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, filepath.FromSlash(file))] = copied
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}
