package testkit_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestScenariosOfTheListExist: the table of scenarios in raftactor/DESIGN.md names tests of this package, each once at least.
func TestScenariosOfTheListExist(t *testing.T) {
	list, err := os.ReadFile(filepath.Join("..", "raftactor", "DESIGN.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool)
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (TestScenario[A-Z]\w*)\(t \*testing\.T\)`).FindAllSubmatch(code, -1) {
			there[string(m[1])] = true
		}
	}
	named := regexp.MustCompile(`TestScenario[A-Z]\w*`).FindAllString(string(list), -1)
	if len(named) < 30 {
		t.Fatalf("the table names %d tests", len(named))
	}
	for _, name := range named {
		if !there[name] {
			t.Errorf("%s is no test", name)
		}
	}
}
