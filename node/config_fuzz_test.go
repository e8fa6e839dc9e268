package node

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParseConfig: whatever the bytes, the answer is a valid configuration that prints and loads as
// itself, or a bounded list of faults.
func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{
		"cluster:\n  node_id: 1\n", "cluster: {node_id: auto}", "", "\ufeffcluster:\r\n  node_id: 1\r\n",
		"cluster:\n  raft: &a {peers: [*a]}\n", "a: &a [*a]\ncluster: *a\n", "cluster:\n\tx", "- [", "\xff\xfe",
		"cluster:\n  tags: {a: b}\n  raft:\n    peers: [\"1@a:1\"]\n---\n", "cluster: !!binary x\n? {}\n: y", "%YAML 3\n--- |\n x",
		"cluster: {node_id: 1, <<: {zone: z}}", strings.Repeat("[", 100), "cluster:\u2028  node_id: x",
	} {
		f.Add([]byte(s), "RIVVEN_ZONE=a")
	}
	f.Add([]byte("cluster:\n  node_id: 1\n"), "RIVVEN_RAFT_ELECTION_TIMEOUT_MIN_MS=1")
	f.Add([]byte("cluster:\n  node_id: 1\n"), "RIVVEN_TAGS=a=b,c")
	f.Fuzz(func(t *testing.T, b []byte, variable string) {
		c, err := parseConfig("f.yaml", b, []string{variable}, lanHost)
		var faults *ConfigError
		switch {
		case err == nil:
			var out bytes.Buffer
			if err := PrintConfig(&out, c); err != nil {
				t.Fatal(err)
			}
			again, err := parseConfig("again.yaml", out.Bytes(), nil, lanHost)
			if err != nil {
				t.Fatalf("what was printed does not load: %v\n%s", err, out.String())
			}
			if !reflect.DeepEqual(c, again) {
				t.Fatalf("%+v\nprinted loads as\n%+v", c, again)
			}
		case !errors.As(err, &faults):
			t.Fatalf("%T: %v", err, err)
		default:
			if n := len(faults.Faults); n == 0 || n > maxConfigFaults {
				t.Fatalf("%d faults", n)
			}
			for _, fault := range faults.Faults {
				if text := fault.Error(); len(text) > 4096 || !utf8.ValidString(text) {
					t.Fatalf("%d bytes of fault: %q", len(text), text)
				}
			}
		}
	})
}
