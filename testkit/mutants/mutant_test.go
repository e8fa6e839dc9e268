package mutants_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/testkit/mutants"
)

const small = `breaks: one is two
hunt: mixed
caught by: a: b; c
seeds: 3
budget: 10s

--- a/b.go
@@ instead of
	return 1
@@ put
	return 2
@@ end
`

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, text string) (*mutants.Mutant, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "small.mutant")
	write(t, path, text)
	return mutants.Read(path)
}

func TestRead(t *testing.T) {
	m, err := read(t, small)
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "small" || m.Hunt != "mixed" || len(m.CaughtBy) != 2 || m.CaughtBy[0] != "a: b" || m.Seeds != 3 || m.Budget != 10*time.Second || m.Quick {
		t.Errorf("read %+v", m)
	}
	if want := (mutants.Edit{File: "a/b.go", Search: "\treturn 1\n", Replace: "\treturn 2\n"}); len(m.Edits) != 1 || m.Edits[0] != want {
		t.Errorf("edits %+v, want %+v", m.Edits, want)
	}
}

func TestReadRefusesWhatIsNotWhole(t *testing.T) {
	for name, text := range map[string]string{
		"no end":        strings.TrimSuffix(small, "@@ end\n"),
		"no edit":       small[:strings.Index(small, "---")],
		"no hunt":       strings.Replace(small, "hunt: mixed\n", "", 1),
		"unknown field": "colour: red\n" + small,
		"no number":     strings.Replace(small, "seeds: 3", "seeds: few", 1),
	} {
		if _, err := read(t, text); err == nil || !strings.Contains(err.Error(), "mutant small") {
			t.Errorf("%s: error %v, want one that names the mutant", name, err)
		}
	}
}

func TestApply(t *testing.T) {
	m, err := read(t, small)
	if err != nil {
		t.Fatal(err)
	}
	root, dir := t.TempDir(), t.TempDir()
	source := filepath.Join(root, "a", "b.go")
	write(t, source, "func f() int {\n\treturn 1\n}\n")
	overlay, err := m.Apply(root, dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(overlay) //nolint:gosec // just written
	if err != nil || !strings.Contains(string(b), "b.go") {
		t.Errorf("overlay %s, %v", b, err)
	}
	if b, err = os.ReadFile(filepath.Join(dir, "a_b.go")); err != nil || !strings.Contains(string(b), "return 2") { //nolint:gosec // just written
		t.Errorf("copy %s, %v", b, err)
	}
	if b, err = os.ReadFile(source); err != nil || !strings.Contains(string(b), "return 1") { //nolint:gosec // just written
		t.Errorf("the source itself changed: %s, %v", b, err)
	}
	for _, text := range []string{"func f() int {\n\treturn 3\n}\n", "\treturn 1\n\treturn 1\n"} {
		write(t, source, text)
		if _, err := m.Apply(root, dir); err == nil || !strings.Contains(err.Error(), "mutant small no longer applies") {
			t.Errorf("a piece that is not there exactly once: error %v", err)
		}
	}
}

// TestEveryMutantApplies fails where product code moved on.
func TestEveryMutantApplies(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.mutant"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d mutants, %v", len(files), err)
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		m, err := mutants.Read(file)
		if err == nil {
			_, err = m.Apply(root, t.TempDir())
		}
		if err != nil {
			t.Error(err)
		}
	}
}
